//! The file that makes a container a repository: version, id, and restic's parameter for its own chunking.
//! Must not know keys.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// What `config` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    /// 1 or 2.
    pub(crate) version: u32,
    /// 32 random bytes in hex.
    pub(crate) id: String,
    /// The polynomial that restic cuts files with. Mainstay only has to give it a good one.
    pub(crate) chunker_polynomial: String,
}

/// The degree that restic's chunker needs.
const DEGREE: u32 = 53;

impl Config {
    /// A new repository's.
    pub(crate) fn random(version: u32) -> Self {
        let mut random = rand::rng();
        let mut id = [0; 32];
        random.fill_bytes(&mut id);
        let polynomial = loop {
            let mut bytes = [0; 8];
            random.fill_bytes(&mut bytes);
            let below = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1);
            let one = below | 1 << DEGREE | 1;
            if is_irreducible(one) {
                break one;
            }
        };
        Self {
            version,
            id: hex::encode(id),
            chunker_polynomial: format!("{polynomial:x}"),
        }
    }
}

/// Ben-Or's test over GF(2): no factor of degree `k` for any `k` up to half the degree.
fn is_irreducible(polynomial: u64) -> bool {
    let degree = polynomial.ilog2();
    let mut power = 2; // x
    for _ in 0..degree / 2 {
        power = multiply(power, power, polynomial);
        if common_divisor(polynomial, power ^ 2) != 1 {
            return false;
        }
    }
    true
}

/// Product modulo a polynomial.
fn multiply(mut a: u64, mut b: u64, modulus: u64) -> u64 {
    let top = 1 << modulus.ilog2();
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a & top != 0 {
            a ^= modulus;
        }
    }
    product
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        while a != 0 && a.leading_zeros() <= b.leading_zeros() {
            a ^= b << (b.leading_zeros() - a.leading_zeros());
        }
        (a, b) = (b, a);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irreducible_polynomials_are_told_from_products() {
        // The one of the format's own example.
        assert!(is_irreducible(0x25_b468_838d_cb75));
        assert!(is_irreducible(0b111) && is_irreducible(0b1011) && is_irreducible(0b1_0011));
        assert!(!is_irreducible(0b101) && !is_irreducible(0b1111) && !is_irreducible(0b1_0101));
        let count = (256..512).filter(|one| is_irreducible(*one)).count();
        assert_eq!(count, 30, "of degree 8 there are thirty");
    }

    #[test]
    fn a_new_polynomial_has_the_right_degree() {
        let config = Config::random(2);
        let polynomial = u64::from_str_radix(&config.chunker_polynomial, 16).unwrap();
        assert_eq!(polynomial.leading_zeros(), 63 - DEGREE);
        assert!(is_irreducible(polynomial));
    }
}
