//! What is too large to be looked at, and what is no file: refused, whatever it claims.

mod common;

use common::temporary;
use ltx_provenance::{Against, verify};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

#[test]
fn what_is_too_large_is_not_looked_at() {
    let folder = temporary("bounds");
    let said = |name: &str| verify(&folder.join(name), &Against::default()).unwrap_err().to_string();
    let uuid = b"\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81";
    let length: u32 = (64 << 20) + 1;
    let file = File::create_new(folder.join("credentials.mp4")).unwrap();
    file.set_len(length.into()).unwrap();
    file.write_all_at(&[&length.to_be_bytes()[..], b"uuid", uuid].concat(), 0).unwrap();
    assert!(said("credentials.mp4").contains("at most 67108864 are looked at"));

    let chunk = [&length.to_be_bytes()[..], b"caBX"].concat();
    let file = File::create_new(folder.join("credentials.png")).unwrap();
    file.write_all_at(b"\x89PNG\r\n\x1a\n", 0).unwrap();
    file.write_all_at(&chunk, 8).unwrap();
    file.write_all_at(b"\0\0\0\0IEND\0\0\0\0", 8 + u64::from(length) + 12).unwrap();
    assert!(said("credentials.png").contains("at most 67108864 are looked at"));

    fs::write(folder.join("boxes.mp4"), b"\0\0\0\x08free".repeat((1 << 16) + 1)).unwrap();
    assert!(said("boxes.mp4").contains("more than 65536 boxes"));
    assert_eq!(said("."), "it is no file");
}
