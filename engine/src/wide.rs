//! Products of two 128-bit numbers, divided again: what prices need. Exact, rounded down.

/// `a × b ÷ divisor`, rounded down; `None` if it does not fit or the divisor is zero.
#[must_use]
pub const fn mul_div(a: u128, b: u128, divisor: u128) -> Option<u128> {
    match mul_div_rem(a, b, divisor) {
        Some((quotient, _)) => Some(quotient),
        None => None,
    }
}

/// `a × b ÷ divisor`, rounded up.
#[must_use]
pub const fn mul_div_up(a: u128, b: u128, divisor: u128) -> Option<u128> {
    match mul_div_rem(a, b, divisor) {
        Some((quotient, 0)) => Some(quotient),
        Some((quotient, _)) => quotient.checked_add(1),
        None => None,
    }
}

const fn mul_div_rem(a: u128, b: u128, divisor: u128) -> Option<(u128, u128)> {
    let (low, high) = widening_mul(a, b);
    if high == 0 && divisor != 0 {
        return Some((low / divisor, low % divisor));
    }
    // The quotient fits exactly if the upper half is less than the divisor; zero never is.
    if high >= divisor {
        return None;
    }
    // Long division, bit by bit: this is for prices, not for every bet.
    let (mut quotient, mut rest) = (0_u128, high);
    let mut bit = 128;
    while bit > 0 {
        bit -= 1;
        let carried = rest >> 127;
        rest = rest << 1 | (low >> bit & 1);
        quotient <<= 1;
        if carried == 1 || rest >= divisor {
            rest = rest.wrapping_sub(divisor);
            quotient |= 1;
        }
    }
    Some((quotient, rest))
}

/// The lower and the upper half of a product.
const fn widening_mul(a: u128, b: u128) -> (u128, u128) {
    const HALF: u128 = u64::MAX as u128;
    let (a_low, a_high) = (a & HALF, a >> 64);
    let (b_low, b_high) = (b & HALF, b >> 64);
    let low = a_low * b_low;
    let (middle, carried) = (a_low * b_high).overflowing_add(low >> 64);
    debug_assert!(!carried, "a 64-bit product leaves room for another 64 bits");
    let (middle, carried) = middle.overflowing_add(a_high * b_low);
    let high = a_high * b_high + (middle >> 64) + if carried { 1 << 64 } else { 0 };
    (middle << 64 | (low & HALF), high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_divided_by_one_of_its_factors_is_the_other() {
        let mut random = 0x1234_5678_9abc_def0_u128;
        for _ in 0..20_000 {
            random = random.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(99);
            let a = random >> (random as u32 & 127);
            random = random.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(99);
            let b = (random >> (random as u32 & 127)).max(1);
            assert_eq!(mul_div(a, b, b), Some(a), "{a} x {b}");
            assert_eq!(mul_div_up(a, b, b), Some(a), "{a} x {b}");
            // a = q d + r, checked with the schoolbook's other direction where it fits.
            if let Some(product) = a.checked_mul(b) {
                let divisor = (random >> 64).max(1);
                assert_eq!(mul_div(a, b, divisor), Some(product / divisor));
                assert_eq!(mul_div_up(a, b, divisor), Some(product.div_ceil(divisor)));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        assert_eq!(mul_div(u128::MAX, u128::MAX, u128::MAX), Some(u128::MAX));
        assert_eq!(mul_div(u128::MAX, u128::MAX, u128::MAX - 1), None);
        assert_eq!(mul_div(1, 1, 0), None);
        assert_eq!(mul_div_up(u128::MAX, u128::MAX - 1, u128::MAX), Some(u128::MAX - 1));
        assert_eq!(mul_div_up(u128::MAX, 3, 2), None);
    }
}
