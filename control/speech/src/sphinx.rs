//! pocketsphinx, as Debian ships it: the library is looked for when the program runs (`dlopen`), so that neither its
//! headers nor itself are needed to build, and a machine without it speaks all the same (`docs/decisions/0019`).
//!
//! The interface is that of 0.8+5prealpha (`libpocketsphinx.so.3`): opaque pointers and plain C types only; no structure
//! of theirs is looked into. One [`Decoder`] is one thread's; the library keeps no state between decoders.
#![allow(unsafe_code, reason = "a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{NonNull, null_mut};

/// Why there is no decoder, or why it does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// `libpocketsphinx.so.3` or `libsphinxbase.so.3` is not installed, or lacks a function.
    Library,
    /// The model cannot be read.
    Model,
    /// The grammar is refused.
    Grammar,
    /// The utterance is refused.
    Utterance,
    /// A text holds a zero octet.
    Text,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Error::Library => "pocketsphinx is not installed (libpocketsphinx3)",
            Error::Model => "the acoustic model cannot be read (pocketsphinx-en-us)",
            Error::Grammar => "the recogniser refuses the grammar",
            Error::Utterance => "the recogniser refuses the utterance",
            Error::Text => "a text holds a zero octet",
        })
    }
}

impl std::error::Error for Error {}

type Pointer = *mut c_void;

/// The functions, found by name.
#[derive(Clone, Copy)]
struct Library {
    args: unsafe extern "C" fn() -> Pointer,
    parse: unsafe extern "C" fn(Pointer, Pointer, i32, *const *const c_char, i32) -> Pointer,
    free_config: unsafe extern "C" fn(Pointer) -> c_int,
    init: unsafe extern "C" fn(Pointer) -> Pointer,
    free: unsafe extern "C" fn(Pointer) -> c_int,
    logmath: unsafe extern "C" fn(Pointer) -> Pointer,
    lookup: unsafe extern "C" fn(Pointer, *const c_char) -> *mut c_char,
    add: unsafe extern "C" fn(Pointer, *const c_char, *const c_char, c_int) -> c_int,
    read_fsg: unsafe extern "C" fn(*const c_char, Pointer, f32) -> Pointer,
    free_fsg: unsafe extern "C" fn(Pointer) -> c_int,
    set_fsg: unsafe extern "C" fn(Pointer, *const c_char, Pointer) -> c_int,
    set_search: unsafe extern "C" fn(Pointer, *const c_char) -> c_int,
    start: unsafe extern "C" fn(Pointer) -> c_int,
    end: unsafe extern "C" fn(Pointer) -> c_int,
    process: unsafe extern "C" fn(Pointer, *const i16, usize, c_int, c_int) -> c_int,
    hypothesis: unsafe extern "C" fn(Pointer, *mut i32) -> *const c_char,
    frames: unsafe extern "C" fn(Pointer) -> c_int,
    log_to: unsafe extern "C" fn(Pointer),
}

fn open(name: &CStr) -> Result<Pointer, Error> {
    // SAFETY: the name ends with zero; what the loader runs of the library is what any program linked to it runs.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() { Err(Error::Library) } else { Ok(handle) }
}

/// A function of a library, as the type that its header declares.
fn function<F: Copy>(library: Pointer, name: &CStr) -> Result<F, Error> {
    const { assert!(size_of::<F>() == size_of::<Pointer>()) };
    // SAFETY: the handle came from `dlopen` and is never closed; the name ends with zero.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() {
        return Err(Error::Library);
    }
    // SAFETY: `F` is a function pointer of the size of a pointer (asserted) and not null; that its type is the one of the
    // function of this name is read from pocketsphinx.h, ps_search.h, cmd_ln.h, fsg_model.h and err.h of this version.
    Ok(unsafe { std::mem::transmute_copy::<Pointer, F>(&found) })
}

impl Library {
    fn load() -> Result<Self, Error> {
        let base = open(c"libsphinxbase.so.3")?;
        let sphinx = open(c"libpocketsphinx.so.3")?;
        Ok(Self {
            args: function(sphinx, c"ps_args")?,
            parse: function(base, c"cmd_ln_parse_r")?,
            free_config: function(base, c"cmd_ln_free_r")?,
            init: function(sphinx, c"ps_init")?,
            free: function(sphinx, c"ps_free")?,
            logmath: function(sphinx, c"ps_get_logmath")?,
            lookup: function(sphinx, c"ps_lookup_word")?,
            add: function(sphinx, c"ps_add_word")?,
            read_fsg: function(base, c"fsg_model_readfile")?,
            free_fsg: function(base, c"fsg_model_free")?,
            set_fsg: function(sphinx, c"ps_set_fsg")?,
            set_search: function(sphinx, c"ps_set_search")?,
            start: function(sphinx, c"ps_start_utt")?,
            end: function(sphinx, c"ps_end_utt")?,
            process: function(sphinx, c"ps_process_raw")?,
            hypothesis: function(sphinx, c"ps_get_hyp")?,
            frames: function(sphinx, c"ps_get_n_frames")?,
            log_to: function(base, c"err_set_logfp")?,
        })
    }
}

/// What a search found in an utterance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The words, in order; `None` if no sentence of the grammar was found.
    pub words: Option<Vec<String>>,
    /// The path's score, in the library's logarithm (base 1.0001 unless the model says otherwise).
    pub score: i32,
    /// Frames of 10 ms that were searched.
    pub frames: u32,
}

/// A decoder with its model.
pub struct Decoder {
    library: Library,
    decoder: NonNull<c_void>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

fn text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Text)
}

impl Decoder {
    /// Loads a model with its dictionary.
    ///
    /// # Errors
    /// [`Error::Library`], [`Error::Model`].
    pub fn new(model: &Path, dictionary: &Path) -> Result<Self, Error> {
        let library = Library::load()?;
        // SAFETY: a null stream is how the library is told to keep quiet (err.h).
        unsafe { (library.log_to)(null_mut()) };
        let path = |path: &Path| path.to_str().ok_or(Error::Text).and_then(text);
        let words = [
            c"carillon-speech".to_owned(),
            c"-hmm".to_owned(),
            path(model)?,
            c"-dict".to_owned(),
            path(dictionary)?,
        ];
        let arguments: Vec<*const c_char> = words.iter().map(|w| w.as_ptr()).collect();
        let count = i32::try_from(arguments.len()).expect("a handful");
        // SAFETY: no precondition; a pointer to a static table comes back.
        let definitions = unsafe { (library.args)() };
        // SAFETY: `arguments` holds `count` texts that end with zero and outlive the call, which copies them.
        let config = unsafe { (library.parse)(null_mut(), definitions, count, arguments.as_ptr(), 0) };
        if config.is_null() {
            return Err(Error::Model);
        }
        // SAFETY: the configuration is one that `parse` made just now.
        let decoder = unsafe { (library.init)(config) };
        // SAFETY: the decoder retains what it needs of the configuration; this gives up our own hold of it.
        unsafe { (library.free_config)(config) };
        let decoder = NonNull::new(decoder).ok_or(Error::Model)?;
        Ok(Self { library, decoder })
    }

    fn raw(&self) -> Pointer {
        self.decoder.as_ptr()
    }

    /// How a word is pronounced; `None`: the dictionary does not have it.
    #[must_use]
    pub fn lookup(&self, word: &str) -> Option<String> {
        let word = text(word).ok()?;
        // SAFETY: the decoder lives as long as `self`; the word ends with zero.
        let phones = unsafe { (self.library.lookup)(self.raw(), word.as_ptr()) };
        if phones.is_null() {
            return None;
        }
        // SAFETY: a text that ends with zero, ours until it is freed below.
        let read = unsafe { CStr::from_ptr(phones) }.to_str().ok().map(str::to_owned);
        // SAFETY: allocated by the library with malloc and handed to the caller to free (pocketsphinx.h).
        unsafe { libc::free(phones.cast()) };
        read
    }

    /// Adds a word or, as `word(2)`, another way to say it. False: refused.
    pub fn add(&mut self, word: &str, phones: &str) -> bool {
        let (Ok(word), Ok(phones)) = (text(word), text(phones)) else { return false };
        // SAFETY: the decoder lives as long as `self`; both texts end with zero and are copied.
        (unsafe { (self.library.add)(self.raw(), word.as_ptr(), phones.as_ptr(), 0) }) >= 0
    }

    /// Takes a grammar from a file, under a name.
    ///
    /// # Errors
    /// [`Error::Grammar`].
    pub fn grammar(&mut self, name: &CStr, file: &Path) -> Result<(), Error> {
        let file = text(file.to_str().ok_or(Error::Text)?)?;
        // SAFETY: the decoder lives as long as `self`, and its logarithms as long as it.
        let logmath = unsafe { (self.library.logmath)(self.raw()) };
        // SAFETY: the name ends with zero; a file that cannot be read or is malformed gives null.
        let fsg = unsafe { (self.library.read_fsg)(file.as_ptr(), logmath, 1.0) };
        if fsg.is_null() {
            return Err(Error::Grammar);
        }
        // SAFETY: all three live; the decoder retains the grammar (ps_search.h).
        let taken = unsafe { (self.library.set_fsg)(self.raw(), name.as_ptr(), fsg) };
        // SAFETY: gives up our own hold of what `read_fsg` made.
        unsafe { (self.library.free_fsg)(fsg) };
        if taken < 0 { Err(Error::Grammar) } else { Ok(()) }
    }

    /// Searches a whole utterance of 16 kHz by the grammar of a name.
    ///
    /// # Errors
    /// [`Error::Grammar`] if there is none of that name, [`Error::Utterance`].
    pub fn decode(&mut self, name: &CStr, samples: &[i16]) -> Result<Found, Error> {
        // SAFETY: the decoder lives as long as `self`; the name ends with zero.
        if unsafe { (self.library.set_search)(self.raw(), name.as_ptr()) } < 0 {
            return Err(Error::Grammar);
        }
        // SAFETY: a search is chosen and no utterance is open: each is ended below before this returns.
        if unsafe { (self.library.start)(self.raw()) } < 0 {
            return Err(Error::Utterance);
        }
        // SAFETY: the pointer and the count are those of one slice; 0, 1: search at once, this is the whole utterance.
        let taken = unsafe { (self.library.process)(self.raw(), samples.as_ptr(), samples.len(), 0, 1) };
        // SAFETY: an utterance was started above.
        let ended = unsafe { (self.library.end)(self.raw()) };
        if taken < 0 || ended < 0 {
            return Err(Error::Utterance);
        }
        let mut score = 0;
        // SAFETY: the utterance has ended; the score is written to a local.
        let words = unsafe { (self.library.hypothesis)(self.raw(), &raw mut score) };
        let words = if words.is_null() {
            None
        } else {
            // SAFETY: a text of the decoder that ends with zero and lives until the next utterance; it is copied here.
            let words = unsafe { CStr::from_ptr(words) }.to_string_lossy();
            Some(words.split_whitespace().map(str::to_owned).collect())
        };
        // SAFETY: the decoder lives as long as `self`.
        let frames = unsafe { (self.library.frames)(self.raw()) };
        Ok(Found { words, score, frames: u32::try_from(frames).unwrap_or(0) })
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by `init`, freed here once; nobody else holds it.
        unsafe { (self.library.free)(self.raw()) };
    }
}
