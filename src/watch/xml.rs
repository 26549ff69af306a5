//! Parses the output of `svn --xml` into a tree of elements. Refuses document types, and with them all entities except
//! the five of XML.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// The most levels of nested elements.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Default)]
pub struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    /// The text directly within the element, without the text of its children.
    pub text: String,
    children: Vec<Element>,
}

impl Element {
    /// Parses a document of at most `max_elements` elements. Returns an element without a name that holds the root. The
    /// error says what is wrong with the document.
    pub fn read(text: &str, max_elements: usize) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        let mut elements = 0;
        loop {
            let event = reader
                .read_event()
                .map_err(|error| format!("byte {}: {error}", reader.error_position()))?;
            if matches!(event, Event::Start(_) | Event::Empty(_)) {
                elements += 1;
                if elements > max_elements || open.len() > MAX_DEPTH {
                    return Err("it has too many elements".to_owned());
                }
            }
            let Some(innermost) = open.last_mut() else {
                return Err("an end without its start".to_owned());
            };
            match event {
                Event::Start(start) => open.push(Element::named(&start)?),
                Event::Empty(start) => innermost.children.push(Element::named(&start)?),
                Event::End(_) => {
                    if let Some(ended) = open.pop()
                        && let Some(parent) = open.last_mut()
                    {
                        parent.children.push(ended);
                    }
                }
                Event::Text(text) => innermost.text.push_str(&text.xml10_content()),
                Event::CData(text) => innermost.text.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => innermost.text.push_str(&resolve(&reference)?),
                Event::DocType(_) => return Err("it has a document type".to_owned()),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(document), true) if !document.children.is_empty() => Ok(document),
            _ => Err("it breaks off".to_owned()),
        }
    }

    fn named(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| error.to_string())?;
            attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(Self {
            name: start.name().as_ref().to_owned(),
            attributes,
            ..Self::default()
        })
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    /// Returns all elements of a name within this element, at any depth, in the order of the document.
    pub fn descendants<'a>(&'a self, name: &str) -> Vec<&'a Element> {
        let mut found = Vec::new();
        for child in &self.children {
            if child.name == name {
                found.push(child);
            }
            found.extend(child.descendants(name));
        }
        found
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    match reference.resolve_char_ref().map_err(|error| error.to_string())? {
        Some(character) => Ok(character.into()),
        None => match resolve_xml_entity(reference) {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("the entity {:?} is not defined", &**reference)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_attributes_text_and_children() {
        let text = "<?xml version=\"1.0\"?><a x=\"1 &lt; 2\">b<c/>&amp;&#100;<![CDATA[<e>]]><f><c>g</c></f></a>";
        let document = Element::read(text, 4).unwrap();
        let a = document.descendants("a")[0];
        assert_eq!((a.attribute("x"), a.attribute("y")), (Some("1 < 2"), None));
        assert_eq!(a.text, "b&d<e>");
        let texts: Vec<&str> = document.descendants("c").iter().map(|c| c.text.as_str()).collect();
        assert_eq!(texts, ["", "g"]);
    }

    #[test]
    fn bad_documents_are_refused() {
        for (text, reason) in [
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "document type"),
            ("<a>&b;</a>", "not defined"),
            ("<a><b></a>", "byte"),
            ("<a>", "breaks off"),
            ("", "breaks off"),
            ("<a><b/><c/></a>", "too many elements"),
        ] {
            let error = Element::read(text, 2).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let deep = "<a>".repeat(100);
        assert!(Element::read(&deep, 1000).unwrap_err().contains("too many"));
    }
}
