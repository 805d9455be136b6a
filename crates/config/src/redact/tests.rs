use alloc::{string::String, vec};

use proptest::prelude::*;

use super::*;

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

fn shown(text: &str) -> (String, Vec<String>) {
    let redacted = redact(text.as_bytes()).unwrap();
    let secrets = redacted
        .secrets
        .iter()
        .map(|secret| String::from_utf8(secret.to_vec()).unwrap())
        .collect();
    (String::from_utf8(redacted.text).unwrap(), secrets)
}

#[test]
fn the_value_of_a_private_key_is_hidden_and_the_spacing_around_it_stays() {
    let (text, secrets) = shown("[Interface]\r\n PrivateKey =\tabc def \t# mine\r\n");
    assert_eq!(text, "[Interface]\r\n PrivateKey =\t\x000\x00 \t# mine\r\n");
    assert_eq!(secrets, ["abc def"]);
}

#[test]
fn names_are_found_as_wg_finds_them() {
    for name in [
        "privatekey",
        "PRIVATEKEY",
        "Private Key",
        "P r\u{b}e sharedKey",
        "\tPresharedKey\t",
    ] {
        let text = alloc::format!("{name}=x");
        assert_eq!(shown(&text).1, ["x"], "{name}");
    }
}

#[test]
fn a_malformed_value_is_hidden_too() {
    assert_eq!(shown("PresharedKey = =a=b\n").1, ["=a=b"]);
}

#[test]
fn a_public_key_stays() {
    let text = alloc::format!("PublicKey = {KEY} # friend\n");
    assert_eq!(shown(&text), (text.clone(), vec![]));
}

#[test]
fn keys_under_misspelt_names_in_comments_and_in_hooks_are_hidden() {
    for (before, after) in [
        ("PrivatKey = ", "\n"),
        ("#PrivateKey = ", ""),
        ("PublicKey = x # ", " old"),
        ("PostUp = a <(echo ", ")"),
        ("", ""),
        ("PrivateKey: /", ""),
    ] {
        let text = alloc::format!("{before}{KEY}{after}");
        let (redacted, secrets) = shown(&text);
        assert_eq!(secrets, [KEY], "{text}");
        assert_eq!(redacted, alloc::format!("{before}\x000\x00{after}"));
    }
}

#[test]
fn a_second_key_behind_a_public_key_is_hidden() {
    let text = alloc::format!("PublicKey = {KEY} PrivateKey = {KEY}");
    assert_eq!(shown(&text).0, "PublicKey = \x000\x00 PrivateKey = \x001\x00");
}

#[test]
fn two_keys_on_a_line_are_two_secrets() {
    let text = alloc::format!("# {KEY},{KEY}{KEY}");
    assert_eq!(shown(&text).0, "# \x000\x00,\x001\x00\x002\x00");
}

#[test]
fn an_empty_value_has_no_placeholder() {
    assert_eq!(
        shown("PrivateKey =  # x\n"),
        ("PrivateKey =  # x\n".into(), vec![])
    );
}

#[test]
fn a_nul_byte_is_refused_with_its_line() {
    assert_eq!(redact(b"a\nb\n\0").unwrap_err(), RedactError::Nul { line: 3 });
}

#[test]
fn a_text_over_the_limit_is_refused() {
    assert_eq!(
        redact(&vec![b'#'; MAX_TEXT + 1]).unwrap_err(),
        RedactError::TooLong
    );
    assert!(redact(&vec![b'#'; MAX_TEXT]).is_ok());
}

#[test]
fn splicing_refuses_what_does_not_fit() {
    let secrets = [b"x".as_slice(), b"a\nb", b"\x00"];
    assert_eq!(
        splice(b"a\x00b", &secrets).unwrap_err(),
        SpliceError::BadPlaceholder
    );
    assert_eq!(
        splice(b"a\x000", &secrets).unwrap_err(),
        SpliceError::BadPlaceholder
    );
    assert_eq!(
        splice(b"a\x00\x00", &secrets).unwrap_err(),
        SpliceError::BadPlaceholder
    );
    assert_eq!(
        splice(b"\x00-1\x00", &secrets).unwrap_err(),
        SpliceError::BadPlaceholder
    );
    assert_eq!(
        splice(b"\x009999999999\x00", &secrets).unwrap_err(),
        SpliceError::BadPlaceholder
    );
    assert_eq!(
        splice(b"\x003\x00", &secrets).unwrap_err(),
        SpliceError::NoSuchSecret { number: 3 }
    );
    assert_eq!(
        splice(b"\x001\x00", &secrets).unwrap_err(),
        SpliceError::BadSecret { number: 1 }
    );
    assert_eq!(
        splice(b"\x002\x00", &secrets).unwrap_err(),
        SpliceError::BadSecret { number: 2 }
    );
    assert_eq!(&splice(b"\x000\x00\x000\x00", &secrets).unwrap()[..], b"xx");
}

#[test]
fn splicing_is_bounded_however_often_a_secret_is_named() {
    let secret = [vec![b'x'; 1 << 16]];
    let text = b"\x000\x00".repeat(MAX_TEXT / (1 << 16) + 1);
    assert_eq!(splice(&text, &secret).unwrap_err(), SpliceError::TooLong);
}

/// Texts rich in what the redactor looks for.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(Vec::from(KEY)),
        Just(b"PrivateKey".to_vec()),
        Just(b"preshared key".to_vec()),
        Just(b"PublicKey".to_vec()),
        Just(b" = ".to_vec()),
        Just(b"=".to_vec()),
        Just(b"#".to_vec()),
        Just(b"\n".to_vec()),
        proptest::collection::vec(1_u8.., 0..50),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn splicing_undoes_redacting(text in texts()) {
        let redacted = redact(&text).unwrap();
        prop_assert_eq!(&splice(&redacted.text, &redacted.secrets).unwrap()[..], &text[..]);
    }

    #[test]
    fn no_key_is_left_outside_the_value_of_a_public_key(text in texts()) {
        let redacted = redact(&text).unwrap();
        for line in redacted.text.split(|&byte| byte == b'\n') {
            let code_end = position(line, b'#').unwrap_or(line.len());
            let equals = position(&line[..code_end], b'=').map_or(0, |equals| equals + 1);
            let searched = match classify(&line[..equals]) {
                Name::Public => &line[code_end..],
                Name::Secret | Name::Other => line,
            };
            prop_assert!(!searched.windows(KEY.len()).any(|window| window == KEY.as_bytes()));
        }
    }
}
