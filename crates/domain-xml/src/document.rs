//! XML as a stream of elements and texts. What libvirt's parser refuses as not well-formed is refused here too, and all
//! that could make a small document large.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::NsReader;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

/// Longer documents are not read, in bytes: libvirt's own limit for a domain's XML is 4 MiB.
pub const MAX_DOCUMENT: u64 = 16 << 20;

/// Elements in each other, as for libxml2.
const MAX_DEPTH: usize = 256;
/// Attributes of one element.
const MAX_ATTRIBUTES: usize = 256;

/// Where and why a document is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn new(place: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The start of an element.
#[derive(Debug)]
pub(crate) struct Element {
    /// Its name, if it is in no namespace.
    pub(crate) name: Option<String>,
    /// Attributes by their local names.
    attributes: Vec<(String, String)>,
    pub(crate) place: Range<usize>,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a document consists of.
#[derive(Debug)]
pub(crate) enum Piece<'t> {
    Start(Element),
    Text(Cow<'t, str>),
    /// Of the innermost element.
    End,
}

/// The bytes of a document as the text that is then read: UTF-8, line ends as XML counts them.
pub(crate) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    const SAVE: &str = "save the document as UTF-8";
    if matches!(
        bytes,
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..]
    ) {
        return Err(Fault::new(0..1, "this is UTF-16 or UTF-32, not UTF-8").help(SAVE));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Fault::new(at..at + 1, "here the document is not UTF-8").help(SAVE)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((at, bad)) = text.char_indices().find(|(_, char)| !is_xml_char(*char)) {
        let message = format!(
            "the character U+{:04X} is not allowed in XML",
            u32::from(bad)
        );
        return Err(Fault::new(at..at + bad.len_utf8(), message));
    }
    Ok(if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    })
}

fn is_xml_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Reads a document from beginning to end.
pub(crate) struct Document<'t> {
    reader: NsReader<&'t [u8]>,
    depth: usize,
    has_root: bool,
    /// An element without content, whose end has not been told yet.
    is_empty: bool,
}

impl<'t> Document<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().check_comments = true;
        Self {
            reader,
            depth: 0,
            has_root: false,
            is_empty: false,
        }
    }

    fn here(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The next piece; none at the document's end.
    pub(crate) fn next(&mut self) -> Result<Option<Piece<'t>>, Fault> {
        if std::mem::take(&mut self.is_empty) {
            self.depth -= 1;
            return Ok(Some(Piece::End));
        }
        loop {
            let start = self.here();
            let (is_bare, event) = match self.reader.read_resolved_event() {
                Ok((resolved, event)) => (matches!(resolved, ResolveResult::Unbound), event),
                Err(error) => {
                    let at = usize::try_from(self.reader.error_position()).unwrap_or(start);
                    return Err(Fault::new(at..at + 1, said(&error.to_string())));
                }
            };
            let place = start..self.here();
            let piece = match event {
                Event::Start(tag) => Piece::Start(self.start(&tag, is_bare, place)?),
                Event::Empty(tag) => {
                    let element = self.start(&tag, is_bare, place)?;
                    self.is_empty = true;
                    Piece::Start(element)
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Piece::End
                }
                Event::Text(text) => {
                    let text = utf8(text.into_inner());
                    if text.contains("]]>") {
                        return Err(Fault::new(place, "`]]>` is not allowed in a text"));
                    }
                    match self.outside_root(&text, &place)? {
                        true => continue,
                        false => Piece::Text(text),
                    }
                }
                Event::CData(text) => {
                    self.outside_root("<![CDATA[", &place)?;
                    Piece::Text(utf8(text.into_inner()))
                }
                Event::GeneralRef(reference) => {
                    self.outside_root("&", &place)?;
                    Piece::Text(Cow::Owned(resolve(&reference, place)?.to_string()))
                }
                Event::Decl(declaration) => {
                    if start != 0 {
                        let message =
                            "the XML declaration stands at the document's beginning or not at all";
                        return Err(Fault::new(place, message));
                    }
                    if let Some(encoding) = declaration.encoding() {
                        let encoding = encoding
                            .map_err(|error| Fault::new(place.clone(), said(&error.to_string())))?;
                        let encoding = String::from_utf8_lossy(&encoding).to_ascii_uppercase();
                        if !matches!(encoding.as_str(), "UTF-8" | "UTF8" | "US-ASCII" | "ASCII") {
                            let message = format!("documents in {} are not read", short(&encoding));
                            return Err(Fault::new(place, message)
                                .help("save the document as UTF-8, and say so here"));
                        }
                    }
                    continue;
                }
                Event::DocType(_) => {
                    let message = "a document type is not accepted, and no entities of its own";
                    return Err(Fault::new(place, message).help(
                        "libvirt writes none: take it away, and write out what it stands for",
                    ));
                }
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Eof => {
                    return if self.depth > 0 {
                        Err(Fault::new(place, "the document ends within an element")
                            .help("it may have been cut off"))
                    } else if self.has_root {
                        Ok(None)
                    } else {
                        Err(Fault::new(place, "there is no element in this document"))
                    };
                }
            };
            return Ok(Some(piece));
        }
    }

    /// Whether this text stands outside the root element, where it may only be blanks.
    fn outside_root(&self, text: &str, place: &Range<usize>) -> Result<bool, Fault> {
        if self.depth > 0 {
            return Ok(false);
        }
        if text.trim_ascii().is_empty() {
            return Ok(true);
        }
        let blanks = text.len() - text.trim_ascii_start().len();
        let at = place.start + blanks;
        let message = if self.has_root {
            "there is text behind the document's end"
        } else {
            "this is no XML: a document begins with `<`"
        };
        Err(Fault::new(at..at + 1, message))
    }

    fn start(
        &mut self,
        tag: &BytesStart<'_>,
        is_bare: bool,
        place: Range<usize>,
    ) -> Result<Element, Fault> {
        if self.depth == 0 && self.has_root {
            return Err(Fault::new(
                place,
                "a document has one outermost element, and this is a second one",
            ));
        }
        if self.depth >= MAX_DEPTH {
            return Err(Fault::new(
                place,
                format!("more than {MAX_DEPTH} elements stand in each other"),
            ));
        }
        self.has_root = true;
        self.depth += 1;
        let qualified = tag.name();
        let name = String::from_utf8_lossy(qualified.as_ref());
        if !is_name(&name) {
            return Err(Fault::new(
                place,
                format!("`{}` is no name of an element", short(&name)),
            ));
        }
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute =
                attribute.map_err(|error| Fault::new(place.clone(), said(&error.to_string())))?;
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(Fault::new(
                    place,
                    format!("more than {MAX_ATTRIBUTES} attributes of one element"),
                ));
            }
            attributes.push(read_attribute(&attribute, &place)?);
        }
        attributes.retain(|(name, _)| !name.is_empty());
        Ok(Element {
            name: is_bare.then(|| name.into_owned()),
            attributes,
            place,
        })
    }
}

/// Part of a text, so it is UTF-8.
fn utf8(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Local name and value; declarations of namespaces have no name.
fn read_attribute(
    attribute: &Attribute<'_>,
    place: &Range<usize>,
) -> Result<(String, String), Fault> {
    let name = String::from_utf8_lossy(attribute.key.as_ref());
    if !is_name(&name) {
        let message = format!("`{}` is no name of an attribute", short(&name));
        return Err(Fault::new(place.clone(), message));
    }
    if attribute.value.contains(&b'<') {
        let message = format!("there is a `<` in the value of `{}`", short(&name));
        return Err(Fault::new(place.clone(), message).help("write &lt;"));
    }
    let raw = String::from_utf8_lossy(&attribute.value);
    // Blanks of each kind count as spaces, unless they are written as references.
    let raw: Cow<'_, str> = if raw.contains(['\t', '\n']) {
        Cow::Owned(raw.replace(['\t', '\n'], " "))
    } else {
        raw
    };
    let mut value = String::with_capacity(raw.len());
    let mut rest: &str = &raw;
    while let Some((before, behind)) = rest.split_once('&') {
        let Some((reference, behind)) = behind.split_once(';') else {
            let message = format!("a `&` without `;` in the value of `{}`", short(&name));
            return Err(Fault::new(place.clone(), message).help("write &amp;"));
        };
        value.push_str(before);
        value.push(resolve(&BytesRef::new(reference), place.clone())?);
        rest = behind;
    }
    value.push_str(rest);
    let name = match attribute.key.as_namespace_binding() {
        Some(_) => String::new(),
        None => String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned(),
    };
    Ok((name, value))
}

/// The character that `&...;` stands for.
fn resolve(reference: &BytesRef<'_>, place: Range<usize>) -> Result<char, Fault> {
    let name = String::from_utf8_lossy(reference);
    let number = match reference.resolve_char_ref() {
        Ok(number) => number,
        Err(_) => Some('\0'),
    };
    let char = number.or(match name.as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    });
    match char {
        Some(char) if is_xml_char(char) => Ok(char),
        Some(_) => Err(Fault::new(
            place,
            format!("`&{};` stands for no character of XML", short(&name)),
        )),
        None => Err(
            Fault::new(place, format!("there is no entity `&{};`", short(&name)))
                .help("a & is written &amp;"),
        ),
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let begins =
        |char: char| char.is_ascii_alphabetic() || matches!(char, '_' | ':') || !char.is_ascii();
    chars.next().is_some_and(begins)
        && chars.all(|char| begins(char) || char.is_ascii_digit() || matches!(char, '-' | '.'))
}

/// A sentence of the XML library, so much of it as a person wants to see.
fn said(text: &str) -> String {
    format!("this is not well-formed XML: {}", short(text))
}

fn short(text: &str) -> String {
    const SHOWN: usize = 100;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}
