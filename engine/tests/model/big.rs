//! Numbers of any length, reckoned as on paper: digit by digit.
//!
//! In: numbers of 128 bits and powers of ten. Out: their products, divided. Never here: what they count.

/// Digits of 32 bits, the lowest first.
#[derive(Clone, Debug)]
pub(crate) struct Big(Vec<u32>);

impl Big {
    pub(crate) fn new(number: u128) -> Self {
        Self((0..4).map(|place| (number >> (32 * place)) as u32).collect())
    }

    pub(crate) fn ten_to(power: u32) -> Self {
        (0..power).fold(Self::new(1), |product, _| product.times(&Self::new(10)))
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut digits = vec![0_u32; self.0.len() + other.0.len() + 1];
        for (at, left) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            for (place, right) in other.0.iter().enumerate() {
                let sum = u64::from(digits[at + place]) + u64::from(*left) * u64::from(*right) + carry;
                digits[at + place] = sum as u32;
                carry = sum >> 32;
            }
            digits[at + other.0.len()] = carry as u32;
        }
        Self(digits).trimmed()
    }

    /// The quotient, and whether anything was left over. The divisor is not zero.
    pub(crate) fn divided_by(&self, divisor: &Self) -> (Self, bool) {
        let mut quotient = vec![0_u32; self.0.len()];
        let mut rest = Self(vec![0]);
        for bit in (0..self.0.len() * 32).rev() {
            rest = rest.doubled(self.0[bit / 32] >> (bit % 32) & 1);
            if let Some(less) = rest.minus(divisor) {
                rest = less;
                quotient[bit / 32] |= 1 << (bit % 32);
            }
        }
        (Self(quotient).trimmed(), rest.0.iter().any(|digit| *digit != 0))
    }

    /// The number, if it has no more than 128 bits.
    pub(crate) fn small(&self) -> Option<u128> {
        let small = self.0.iter().skip(4).all(|digit| *digit == 0);
        let sum = self.0.iter().take(4).enumerate();
        small.then(|| sum.map(|(place, digit)| u128::from(*digit) << (32 * place)).sum())
    }

    fn doubled(&self, plus: u32) -> Self {
        let mut carry = plus;
        let mut digits: Vec<u32> = Vec::with_capacity(self.0.len() + 1);
        for digit in &self.0 {
            digits.push(digit << 1 | carry);
            carry = digit >> 31;
        }
        digits.push(carry);
        Self(digits).trimmed()
    }

    /// The difference, if it is not below zero.
    fn minus(&self, other: &Self) -> Option<Self> {
        let mut borrow = 0_i64;
        let mut digits = Vec::with_capacity(self.0.len());
        for place in 0..self.0.len().max(other.0.len()) {
            let digit = |of: &Self| i64::from(of.0.get(place).copied().unwrap_or(0));
            let difference = digit(self) - digit(other) - borrow;
            borrow = i64::from(difference < 0);
            digits.push(difference as u32);
        }
        (borrow == 0).then(|| Self(digits).trimmed())
    }

    fn trimmed(mut self) -> Self {
        while self.0.len() > 1 && self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }
}
