//! Passwords of people at the pages: scrypt (RFC 7914), 32 MiB and a fraction of a second each, so that a stolen list of
//! hashes is slow to guess from. The sizes stand in each hash; older ones stay good when they change.

use control::config::PasswordHash;

/// Binary logarithm of the cost; with blocks of 8 it takes 32 MiB.
const LN: u8 = 15;
/// Lanes, one after the other.
const P: u32 = 3;
/// Characters of a password at least, and octets at most.
const LEN: std::ops::RangeInclusive<usize> = 12..=256;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has at least 12 characters")]
pub struct Weak;

/// What is kept of a new password.
///
/// # Errors
/// [`Weak`]: it is too short, or longer than anybody types.
pub fn hashed(password: &str) -> Result<PasswordHash, Weak> {
    if password.chars().count() < *LEN.start() || password.len() > *LEN.end() {
        return Err(Weak);
    }
    let salt = crate::clock::random::<16>().to_vec();
    let mut kept = PasswordHash { ln: LN, r: 8, p: P, salt, hash: [0; 32] };
    kept.hash = derived(&kept, password).ok_or(Weak)?;
    Ok(kept)
}

/// Is it the password? Takes as long for nobody's (`None`) as for somebody's, so that the time tells no names.
#[must_use]
pub fn is(kept: Option<&PasswordHash>, password: &str) -> bool {
    let nobody = PasswordHash { ln: LN, r: 8, p: P, salt: vec![0; 16], hash: [0; 32] };
    if password.len() > *LEN.end() {
        return false;
    }
    let derived = derived(kept.unwrap_or(&nobody), password);
    match (kept, derived) {
        (Some(kept), Some(derived)) => subtle::ConstantTimeEq::ct_eq(&kept.hash[..], &derived[..]).into(),
        _ => false,
    }
}

fn derived(kept: &PasswordHash, password: &str) -> Option<[u8; 32]> {
    let params = scrypt::Params::new(kept.ln, kept.r, kept.p, 32).ok()?;
    let mut out = [0; 32];
    scrypt::scrypt(password.as_bytes(), &kept.salt, &params, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7914 §12, the third vector, cut to our 32 octets (PBKDF2's first block).
    #[test]
    fn rfc7914_12_vector() {
        let hex = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2";
        let octets: Vec<u8> =
            (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect();
        let hash = octets.try_into().expect("32");
        let kept = PasswordHash { ln: 14, r: 8, p: 1, salt: b"SodiumChloride".to_vec(), hash };
        assert!(is(Some(&kept), "pleaseletmein"));
        assert!(!is(Some(&kept), "pleaseletmeIn") && !is(None, "pleaseletmein"));
    }

    #[test]
    fn a_password_is_known_again_and_short_ones_are_refused() {
        let kept = hashed("correct horse battery").expect("long enough");
        assert!(is(Some(&kept), "correct horse battery") && !is(Some(&kept), "correct horse"));
        assert_eq!(kept.to_string().parse::<PasswordHash>(), Ok(kept));
        assert_eq!(hashed("short"), Err(Weak));
        assert_eq!(hashed(&"x".repeat(257)), Err(Weak));
    }
}
