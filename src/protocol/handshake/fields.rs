//! The grammar of header values: tokens, lists, extensions, hosts. Each is read once, from left to right.

/// Whether the byte may stand in a token (RFC 9110 §5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether the text is a token: at least one byte, and no separator.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// The elements of a comma-separated list of tokens; `None` for one that is no token. Empty ones are left out.
pub(super) fn tokens(list: &str) -> impl Iterator<Item = Option<&str>> {
    list.split(',')
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
        .map(|element| is_token(element).then_some(element))
}

/// Whether a comma-separated list contains the token, in any case.
pub(super) fn has_token(list: &str, token: &str) -> bool {
    list.split(',')
        .any(|element| element.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}

/// Whether the value is a host with an optional port (RFC 9110 §7.2): no user, no path.
pub(super) fn is_host(value: &str) -> bool {
    let (host, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return false;
            };
            let is_address = address
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            if !is_address || !(port.is_empty() || port.starts_with(':')) {
                return false;
            }
            (address, port.strip_prefix(':').unwrap_or_default())
        }
        None => value.split_once(':').unwrap_or((value, "")),
    };
    let is_host_byte = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'$'..=b'.' | b';' | b'=' | b'_' | b'~' | b':')
    };
    !host.is_empty()
        && host.bytes().all(is_host_byte)
        && port.len() <= 5
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// One element of `Sec-WebSocket-Extensions` (§9.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    /// Names and values; quoted values are unquoted.
    pub(super) parameters: Vec<(&'a str, Option<String>)>,
}

/// Goes over the extensions of one header value; `None` where it is malformed, and then it ends.
pub(super) struct Extensions<'a> {
    rest: &'a str,
}

impl<'a> Extensions<'a> {
    pub(super) const fn new(value: &'a str) -> Self {
        Self { rest: value }
    }

    /// `extension-token *( ";" extension-param )`, up to a comma or the end.
    fn extension(&mut self) -> Option<Extension<'a>> {
        let mut extension = Extension {
            name: self.token()?,
            parameters: Vec::new(),
        };
        while self.skip(';') {
            let name = self.token()?;
            let value = if self.skip('=') { Some(self.value()?) } else { None };
            extension.parameters.push((name, value));
        }
        (self.skip(',') || self.rest.is_empty()).then_some(extension)
    }

    /// Skips blanks, then the separator if it comes next.
    fn skip(&mut self, separator: char) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        match self.rest.strip_prefix(separator) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn token(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches([' ', '\t']);
        let end = text
            .bytes()
            .position(|byte| !is_token_byte(byte))
            .unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token, or a quoted string whose content is one (§9.1).
    fn value(&mut self) -> Option<String> {
        if !self.skip('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(chars.next()?),
                char => value.push(char),
            }
        }
        self.rest = chars.as_str();
        is_token(&value).then_some(value)
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Option<Extension<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.skip(',') {}
        if self.rest.is_empty() {
            return None;
        }
        let extension = self.extension();
        if extension.is_none() {
            self.rest = "";
        }
        Some(extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(value: &str) -> Option<Vec<Extension<'_>>> {
        Extensions::new(value).collect()
    }

    #[test]
    fn extensions_are_read_with_their_parameters() {
        let value = r#" foo , permessage-deflate;a; b = 10 ;c="x\y", ,bar"#;
        let parameters = vec![
            ("a", None),
            ("b", Some("10".to_owned())),
            ("c", Some("xy".to_owned())),
        ];
        let plain = |name| Extension {
            name,
            parameters: vec![],
        };
        let deflate = Extension {
            name: "permessage-deflate",
            parameters,
        };
        assert_eq!(extensions(value), Some(vec![plain("foo"), deflate, plain("bar")]));
        assert_eq!(extensions(" , ,"), Some(vec![]));
    }

    #[test]
    fn malformed_extensions_are_told() {
        for value in [
            "a;",
            "a;=1",
            "a; b=",
            "a b",
            r#"a; b="1"#,
            r#"a; b="1 2""#,
            r#"a; b="\"#,
            ";",
            "=",
            "a;b=\"\"",
            "ä",
        ] {
            assert_eq!(extensions(value), None, "{value}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in [
            "example.com",
            "localhost:8000",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8000",
            "a-b_c.example.",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "user@host",
            "host/path",
            "a b",
            "host:http",
            "host:123456",
            "[::1",
            "[::1]x",
            "[]",
            "hös",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
