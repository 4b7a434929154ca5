//! Tests of the cache: bounds, age, damage, privacy, and what a crash leaves.
//!
//! Must not know engines.

use super::*;
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

/// Bytes of a file of four values in one dimension.
const FILE: u64 = 16 + 32 + 32 + 1 + 8 + 16;

fn settings(bytes: u64, memory_bytes: u64, days: u64) -> CacheSettings {
    CacheSettings {
        bytes: Bounded::new(bytes).unwrap(),
        memory_bytes: Bounded::new(memory_bytes).unwrap(),
        days: Bounded::new(days).unwrap(),
    }
}

fn key(number: u8) -> CacheKey {
    CacheKey::new([number; CacheKey::BYTES])
}

fn tensor(number: u8) -> CachedTensor {
    CachedTensor { shape: vec![4], values: vec![f32::from(number), -0.0, f32::MIN_POSITIVE, f32::NAN] }
}

/// A cache of files alone.
fn files(folder: &Path, bytes: u64) -> TensorCache {
    TensorCache::new(folder, &settings(bytes, 0, 30))
}

fn bits(tensor: &CachedTensor) -> Vec<u32> {
    tensor.values.iter().map(|value| value.to_bits()).collect()
}

/// Makes a file one that was used so long ago.
fn age(folder: &Path, number: u8, unused_for: Duration) {
    let file = File::open(folder.join(key(number).to_string())).unwrap();
    file.set_modified(SystemTime::now() - unused_for).unwrap();
}

#[test]
fn what_is_kept_comes_back_bit_by_bit_for_its_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    for memory_bytes in [0, 1 << 20] {
        let cache = TensorCache::new(&folder, &settings(1 << 20, memory_bytes, 30));
        cache.put(&key(1), tensor(1));
        let kept = cache.get(&key(1)).unwrap();
        assert_eq!((kept.shape.as_slice(), bits(&kept)), (&[4][..], bits(&tensor(1))));
        assert!(cache.holds(&key(1)) && !cache.holds(&key(2)) && cache.get(&key(2)).is_none());
        let CacheStatus { hits, misses, damaged, bytes, memory_bytes: here } = cache.status();
        assert_eq!((hits, misses, damaged, bytes, here), (1, 1, 0, FILE, memory_bytes.min(16)));
    }
    // Another process finds it.
    assert!(files(&folder, 1 << 20).get(&key(1)).is_some());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(key(1).to_string()))), (0o700, 0o600));
}

#[test]
fn a_damaged_file_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let cache = files(folder.path(), 1 << 20);
    let path = folder.path().join(key(1).to_string());
    cache.put(&key(1), tensor(1));
    let whole = fs::read(&path).unwrap();
    let mut damaged = 0;
    let mut refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        assert!(cache.get(&key(1)).is_none() && !path.exists());
        damaged += 1;
        assert_eq!(cache.status().damaged, damaged);
    };
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        refused(&flipped);
        refused(&whole[..at]);
    }
    refused(&[&whole[..], b"more"].concat());
    // A whole file under another's name is damaged as well.
    fs::write(folder.path().join(key(2).to_string()), &whole).unwrap();
    assert!(cache.get(&key(2)).is_none());
    fs::write(&path, &whole).unwrap();
    assert_eq!(bits(&cache.get(&key(1)).unwrap()), bits(&tensor(1)));
}

#[test]
fn what_cannot_be_read_is_left_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let cache = files(folder.path(), 1 << 20);
    let unreadable = folder.path().join(key(1).to_string());
    fs::create_dir(&unreadable).unwrap();
    assert!(cache.get(&key(1)).is_none() && unreadable.exists());
    assert_eq!((cache.status().misses, cache.damaged()), (1, 0));
}

#[test]
fn files_are_bounded_in_bytes_and_those_used_last_stay() {
    let folder = tempfile::tempdir().unwrap();
    let cache = files(folder.path(), 3 * FILE);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for number in 1..=3 {
        cache.put(&key(number), tensor(number));
        age(folder.path(), number, hours(10 - u64::from(number)));
    }
    // The oldest is used again, so that the second goes.
    assert!(cache.get(&key(1)).is_some());
    cache.put(&key(4), tensor(4));
    assert_eq!([1, 2, 3, 4].map(|number| cache.holds(&key(number))), [true, false, true, true]);
    for number in 0..100 {
        cache.put(&key(number), tensor(number));
        assert!(cache.status().bytes <= 3 * FILE);
    }
    // What is larger than all the room is not kept, nor anything removed for it.
    let large = CachedTensor { shape: vec![100], values: vec![1.0; 100] };
    cache.put(&key(200), large);
    assert!(!cache.holds(&key(200)) && cache.status().bytes == 3 * FILE);
}

#[test]
fn files_that_nothing_uses_go_with_their_age() {
    let folder = tempfile::tempdir().unwrap();
    let cache = files(folder.path(), 1 << 20);
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    for (number, unused) in [(1, days(29)), (2, days(31))] {
        cache.put(&key(number), tensor(number));
        age(folder.path(), number, unused);
    }
    // Too old counts as not there, also before it is removed.
    assert!(!cache.holds(&key(2)) && cache.get(&key(2)).is_none());
    cache.expire();
    assert_eq!(cache.keys(), [key(1)]);
}

#[test]
fn memory_is_bounded_and_holds_what_was_used_last() {
    let folder = tempfile::tempdir().unwrap();
    let cache = TensorCache::new(folder.path(), &settings(0, 3 * 16, 30));
    for number in 1..=3 {
        cache.put(&key(number), tensor(number));
    }
    assert!(cache.get(&key(1)).is_some());
    cache.put(&key(4), tensor(4));
    assert_eq!([1, 2, 3, 4].map(|number| cache.holds(&key(number))), [true, false, true, true]);
    cache.put(&key(5), CachedTensor { shape: vec![100], values: vec![1.0; 100] });
    assert_eq!((cache.status().memory_bytes, cache.status().bytes), (48, 0));
    cache.remove(&key(1));
    assert_eq!(cache.keys(), [key(3), key(4)]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_kept_where_it_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, days) in [(0, 30), (1 << 20, 0)] {
        let cache = TensorCache::new(folder.path(), &settings(bytes, 0, days));
        cache.put(&key(1), tensor(1));
        assert!(!cache.keeps() && !cache.holds(&key(1)));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_a_crash_left_half_written_is_no_tensor_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let cache = files(folder.path(), 1 << 20);
    cache.put(&key(1), tensor(1));
    let partial = folder.path().join(format!(".{}.partial-x", &key(2).to_string()[..40]));
    fs::write(&partial, [0; 10]).unwrap();
    assert_eq!(cache.keys(), [key(1)]);
    // Somebody may still be writing it.
    cache.expire();
    assert!(partial.exists());
    let file = File::open(&partial).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3 * 3600)).unwrap();
    cache.expire();
    assert!(!partial.exists());
    fs::write(&partial, [0; 10]).unwrap();
    cache.remove_partial();
    assert!(!partial.exists() && cache.holds(&key(1)));
}
