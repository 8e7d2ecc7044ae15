//! UUIDs as libvirt reads them.

/// Thirty-two hexadecimal digits, with `-` and blanks between pairs of them, and white space around it all.
pub(crate) fn parse(text: &str) -> Option<[u8; 16]> {
    let mut rest = text.trim_matches(is_space).bytes().peekable();
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        while rest.next_if(|next| matches!(next, b'-' | b' ')).is_some() {}
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|n| u8::try_from(n).ok())
        };
        *byte = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
    }
    rest.next().is_none().then_some(uuid)
}

/// As C's `isspace` has it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liberal_between_pairs_only() {
        let wanted = [
            0x66, 0x95, 0xeb, 0x01, 0xf6, 0xa4, 0x83, 0x04, 0x79, 0xaa, 0x97, 0xf2, 0x50, 0x2e,
            0x19, 0x3f,
        ];
        for good in [
            "6695eb01-f6a4-8304-79aa-97f2502e193f",
            "6695EB01F6A4830479AA97F2502E193F",
            "\t 66 95--eb01f6a4830479aa97f2502e193f\n",
        ] {
            assert_eq!(parse(good), Some(wanted), "{good}");
        }
        for bad in [
            "",
            "6695eb01-f6a4-8304-79aa-97f2502e193",
            "6695eb01-f6a4-8304-79aa-97f2502e193f0",
            "6 695eb01-f6a4-8304-79aa-97f2502e193f",
            "6695eb01-f6a4-8304-79aa-97f2502e193f-",
            "6695eb01-f6a4-8304-79aa-97f2502e193g",
            "+695eb01-f6a4-8304-79aa-97f2502e193f",
            "66\t95eb01-f6a4-8304-79aa-97f2502e193f",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
