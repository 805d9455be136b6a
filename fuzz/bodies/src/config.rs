//! The redactor of configuration files.

use wirewright_config::redact::{redact, splice};

/// Cuts the keys out of a text and puts them back.
///
/// # Panics
///
/// If the text does not come back as it was, or if the value of a key line is still in what Python would see.
pub fn config(text: &[u8]) {
    let Ok(redacted) = redact(text) else { return };
    let secrets: Vec<&[u8]> = redacted.secrets.iter().map(|secret| secret.as_slice()).collect();
    let whole = splice(&redacted.text, &secrets).expect("what was cut can be put back");
    assert_eq!(whole.as_slice(), text, "another text came back");
    for line in redacted.text.split(|byte| *byte == b'\n') {
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (key, value) = line.split_at(equals);
        let key = key.trim_ascii().to_ascii_lowercase();
        if key == b"privatekey" || key == b"presharedkey" {
            let shown = value[1..].trim_ascii();
            assert!(shown.len() < 44, "a key is left in the text");
        }
    }
}
