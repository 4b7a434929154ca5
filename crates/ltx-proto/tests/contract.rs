//! The contract as compiled: its calls are there, and everything in it is documented.
//!
//! Must not know how the calls are answered.

use ltx_proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use std::collections::BTreeSet;

// Field numbers of descriptor.proto, from which a location's path is made.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SERVICE: i32 = 6;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_ONEOF: i32 = 8;
const ENUM_VALUE: i32 = 2;
const SERVICE_METHOD: i32 = 2;

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    set.file.into_iter().filter(|file| file.package() == "ltx.v1").collect()
}

#[test]
fn every_call_is_there() {
    let services = files().into_iter().flat_map(|file| file.service);
    let calls: Vec<_> = services.flat_map(|service| service.method).map(|method| method.name().to_owned()).collect();
    let expected = [
        "CreateGeneration GetGeneration ListGenerations WatchGeneration CancelGeneration DeleteGeneration",
        "DownloadOutput DownloadImage GetNode CheckEligibility EditElements GenerateAudio UploadImage UploadPart",
    ];
    let expected: Vec<_> = expected.iter().flat_map(|line| line.split(' ')).collect();
    assert_eq!(calls, expected);
}

#[test]
fn everything_is_documented() {
    let mut missing = Vec::new();
    for file in files() {
        let documented: BTreeSet<Vec<i32>> = file
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|location| location.leading_comments.as_ref().is_some_and(|text| !text.trim().is_empty()))
            .map(|location| location.path.clone())
            .collect();
        let things = things(&file);
        assert!(!things.is_empty());
        missing.extend(things.into_iter().filter(|(path, _)| !documented.contains(path)).map(|(_, name)| name));
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// Paths and names of all messages, fields, enumerations, values, services and calls of a file.
fn things(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let mut things = Vec::new();
    for (i, message) in (0..).zip(&file.message_type) {
        things.extend(things_of_message(i, message));
    }
    for (i, enumeration) in (0..).zip(&file.enum_type) {
        things.push((vec![FILE_ENUM, i], enumeration.name().to_owned()));
        for (j, value) in (0..).zip(&enumeration.value) {
            things.push((vec![FILE_ENUM, i, ENUM_VALUE, j], value.name().to_owned()));
        }
    }
    for (i, service) in (0..).zip(&file.service) {
        things.push((vec![FILE_SERVICE, i], service.name().to_owned()));
        for (j, method) in (0..).zip(&service.method) {
            things.push((vec![FILE_SERVICE, i, SERVICE_METHOD, j], method.name().to_owned()));
        }
    }
    things
}

fn things_of_message(i: i32, message: &DescriptorProto) -> Vec<(Vec<i32>, String)> {
    assert!(message.nested_type.is_empty() && message.enum_type.is_empty(), "{} nests", message.name());
    let mut things = vec![(vec![FILE_MESSAGE, i], message.name().to_owned())];
    for (j, field) in (0..).zip(&message.field) {
        things.push((vec![FILE_MESSAGE, i, MESSAGE_FIELD, j], format!("{}.{}", message.name(), field.name())));
    }
    // protoc makes a oneof of its own for every optional field; its name begins with an underscore.
    let written = (0..).zip(&message.oneof_decl).filter(|(_, oneof)| !oneof.name().starts_with('_'));
    for (j, oneof) in written {
        things.push((vec![FILE_MESSAGE, i, MESSAGE_ONEOF, j], format!("{}.{}", message.name(), oneof.name())));
    }
    things
}
