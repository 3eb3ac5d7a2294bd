#![no_main]

use libfuzzer_sys::fuzz_target;

// A list is refused, or its ranges ascend within the disk without touching each other.
fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for size in [0, 1000, 1 << 40, u64::MAX] {
        let Ok(ranges) = tresor_input::changes(text, size) else { continue };
        let mut free = 0;
        for range in &ranges {
            assert!(range.start < range.end && range.end <= size && range.start >= free);
            free = range.end + u64::from(range.end < u64::MAX);
        }
        // What is read is a list again, with the same meaning.
        let line =
            |range: &std::ops::Range<u64>| format!("{} {}\n", range.start, range.end - range.start);
        let again: String = ranges.iter().map(line).collect();
        assert_eq!(tresor_input::changes(&again, size).unwrap(), ranges);
    }
});
