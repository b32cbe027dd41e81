//! The elements of VoiceXML 2.0 and 2.1, SSML 1.0 and SRGS 1.0 that a document may hold.

macro_rules! tags {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// An element's name, or what else a node can be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is the element of that name")]
        #[repr(u8)]
        pub enum Tag {
            /// Character data.
            Text,
            /// An element of another namespace, or none of ours.
            Other,
            $($variant),*
        }

        impl Tag {
            /// From a local name.
            #[must_use]
            pub fn from_name(name: &str) -> Tag {
                match name {
                    $($name => Tag::$variant,)*
                    _ => Tag::Other,
                }
            }

            /// The element's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Tag::Text => "#text",
                    Tag::Other => "#other",
                    $(Tag::$variant => $name,)*
                }
            }
        }
    };
}

tags! {
    Assign = "assign", Audio = "audio", Block = "block", Break = "break", Catch = "catch", Choice = "choice",
    Clear = "clear", Data = "data", Desc = "desc", Disconnect = "disconnect", Else = "else", Elseif = "elseif",
    Emphasis = "emphasis", Enumerate = "enumerate", Error = "error", Exit = "exit", Field = "field",
    Filled = "filled", Foreach = "foreach", Form = "form", Goto = "goto", Grammar = "grammar", Help = "help",
    If = "if", Initial = "initial", Lexicon = "lexicon", Link = "link", Log = "log", Mark = "mark", Menu = "menu",
    Meta = "meta", Metadata = "metadata", Noinput = "noinput", Nomatch = "nomatch", Object = "object",
    Option = "option", P = "p", Param = "param", Phoneme = "phoneme", Prompt = "prompt", Property = "property",
    Prosody = "prosody", Record = "record", Reprompt = "reprompt", Return = "return", S = "s", SayAs = "say-as",
    Script = "script", Sub = "sub", Subdialog = "subdialog", Submit = "submit", Throw = "throw",
    Transfer = "transfer", Value = "value", Var = "var", Voice = "voice", Vxml = "vxml",
    Paragraph = "paragraph", Sentence = "sentence",
}

impl Tag {
    /// VoiceXML 2.0 §2.3: an input item or a control item.
    #[must_use]
    pub fn is_form_item(self) -> bool {
        self.is_input_item() || matches!(self, Tag::Block | Tag::Initial)
    }

    /// VoiceXML 2.0 §2.1.2.1.
    #[must_use]
    pub fn is_input_item(self) -> bool {
        matches!(self, Tag::Field | Tag::Record | Tag::Transfer | Tag::Subdialog | Tag::Object)
    }

    /// `<catch>` or one of its shorthands (§5.2.3).
    #[must_use]
    pub fn is_catch(self) -> bool {
        matches!(self, Tag::Catch | Tag::Error | Tag::Help | Tag::Noinput | Tag::Nomatch)
    }

    /// An element of speech markup that wraps or marks text.
    #[must_use]
    pub fn is_ssml(self) -> bool {
        use Tag::{
            Audio, Break, Desc, Emphasis, Enumerate, Lexicon, Mark, Meta, Metadata, P, Paragraph, Phoneme,
            Prosody, S, SayAs, Sentence, Sub, Value, Voice,
        };
        matches!(
            self,
            Audio
                | Break
                | Desc
                | Emphasis
                | Enumerate
                | Lexicon
                | Mark
                | Meta
                | Metadata
                | P
                | Paragraph
                | Phoneme
                | Prosody
                | S
                | SayAs
                | Sentence
                | Sub
                | Value
                | Voice
        )
    }

    /// May stand in executable content as a prompt of its own (§2.4: text and `<audio>` count as `<prompt>`).
    #[must_use]
    pub fn is_speech(self) -> bool {
        matches!(self, Tag::Text | Tag::Audio | Tag::Value | Tag::Enumerate | Tag::Prompt)
    }
}
