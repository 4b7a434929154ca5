//! The same in XMP, for tools that know only that: IPTC's digital source type, and who made it with which model.
//!
//! Must not know where it goes in a file. XMP is signed with the file that it stands in.

use crate::claim::{DIGITAL_SOURCE_TYPE, GENERATOR, VERSION};
use ltx_policy::UsageMark;

/// The packet of an output, its mark's entries in a namespace of our own.
pub(crate) fn packet(mark: &UsageMark, pictures_sha256: &str) -> String {
    let entries: String =
        mark.entries().iter().map(|(key, value)| format!("   <ltxd:{key}>{}</ltxd:{key}>\n", escaped(value))).collect();
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n \
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n  \
         <rdf:Description rdf:about=\"\"\n    \
         xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n    \
         xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n    \
         xmlns:ltxd=\"https://ltxd.org/ns/mark/1/\">\n   \
         <Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>\n   \
         <Iptc4xmpExt:AISystemUsed>{}</Iptc4xmpExt:AISystemUsed>\n   \
         <Iptc4xmpExt:AISystemVersionUsed>{}</Iptc4xmpExt:AISystemVersionUsed>\n   \
         <xmp:CreatorTool>{GENERATOR} {VERSION}</xmp:CreatorTool>\n\
         {entries}   <ltxd:pictures_sha256>{pictures_sha256}</ltxd:pictures_sha256>\n  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"r\"?>",
        escaped(&of(mark, "model")),
        escaped(&of(mark, "model_version")),
    )
}

fn of(mark: &UsageMark, key: &str) -> String {
    mark.entries().into_iter().find(|(known, _)| *known == key).map(|(_, value)| value).unwrap_or_default()
}

/// Text as XML holds it; what XML cannot hold becomes a space.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
