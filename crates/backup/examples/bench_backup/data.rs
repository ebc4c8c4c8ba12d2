//! What is backed up: the same bytes every time.

use std::{fs, ops::Range, path::Path};

/// Random numbers, the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Lines as a service logs them: words of a dictionary of two thousand, common ones more often, and numbers.
    fn text(&mut self, words: &[String], length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 64);
        let mut line = 0;
        while bytes.len() < length {
            let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
            let word = &words[((words.len() as f64).powf(unit) as usize).min(words.len()) - 1];
            bytes.extend(word.bytes());
            line += 1;
            if line % 12 == 0 {
                bytes
                    .extend(format!(" {}\n2026-11-26T{:06} ", self.next() % 100_000, line).bytes());
            } else {
                bytes.push(b' ');
            }
        }
        bytes.truncate(length);
        bytes
    }

    fn words(&mut self) -> Vec<String> {
        let mut word = || {
            let length = 2 + self.next() % 9;
            (0..length)
                .map(|_| char::from(b'a' + (self.next() % 26) as u8))
                .collect()
        };
        (0..2000).map(|_| word()).collect()
    }
}

/// 1.8 GB, half of it random and half of it text, in files of 1 to 64 MB.
pub(crate) fn make_big(root: &Path, scale: f64) {
    let mut dice = Dice(88_172_645_463_325_252);
    let words = dice.words();
    let mut left = (1.8e9 * scale) as usize;
    let mut number = 0;
    fs::create_dir_all(root).unwrap();
    while left > 0 {
        let size = (1_000_000 << (number % 7)).min(left);
        let bytes = if number / 7 % 2 == 0 {
            dice.noise(size)
        } else {
            dice.text(&words, size)
        };
        fs::write(root.join(format!("file-{number}")), bytes).unwrap();
        left -= size;
        number += 1;
    }
}

/// 50,000 files of 2 KiB in 500 folders, half of them random and half of them text.
pub(crate) fn make_small(root: &Path, scale: f64) {
    make_files(root, 0..(50_000.0 * scale) as usize);
}

/// Files of 2 KiB, a hundred to a folder, a hundred folders to a folder above.
pub(crate) fn make_files(root: &Path, numbers: Range<usize>) {
    let mut dice = Dice(1_234_567_890_123 + numbers.start as u64);
    let words = dice.words();
    for number in numbers {
        let above = root.join(format!("above-{}", number / 10_000));
        let folder = above.join(format!("folder-{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let bytes = if number % 2 == 0 {
            dice.noise(2048)
        } else {
            dice.text(&words, 2048)
        };
        fs::write(folder.join(format!("file-{number}")), bytes).unwrap();
    }
}
