//! A hash tree of the shape of RFC 6962, with BLAKE3: one hash for many leaves, and short proofs that one is among them.
//!
//! In: leaves of 32 bytes, in order. Out: the root; the path of one leaf; the root that a leaf and its path lead to.
//! Leaves and inner nodes are hashed under different first bytes, so that neither can be passed off as the other. Never
//! here: what a leaf stands for.

/// A hash of the tree.
pub type Hash = [u8; 32];

const LEAF: u8 = 0;
const NODE: u8 = 1;

fn hash_leaf(leaf: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[LEAF]).update(leaf);
    hasher.finalize().into()
}

fn hash_node(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[NODE]).update(left).update(right);
    hasher.finalize().into()
}

/// Takes leaves one after the other and keeps only the roots of the full trees so far: one hash per doubling.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    /// From the largest full tree to the smallest; their sizes are the bits of `leaves`.
    full: Vec<Hash>,
    leaves: u64,
}

impl Builder {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: &Hash) {
        let mut node = hash_leaf(leaf);
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.full.pop() {
                node = hash_node(&left, &node);
            }
        }
        self.full.push(node);
        self.leaves += 1;
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The root; of no leaves the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut smaller_first = self.full.iter().rev();
        let Some(smallest) = smaller_first.next() else { return blake3::hash(&[]).into() };
        smaller_first.fold(*smallest, |right, left| hash_node(left, &right))
    }
}

/// The root over all leaves.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let mut builder = Builder::default();
    leaves.iter().for_each(|leaf| builder.push(leaf));
    builder.root()
}

/// How the leaves are split below a root: the left side is the largest full tree that leaves something to the right.
const fn left_of(leaves: usize) -> usize {
    1 << (usize::BITS - 1 - (leaves - 1).leading_zeros())
}

/// The path of the leaf at `index`: the neighbours on the way to the root, the lowest first.
///
/// # Panics
/// If there is no such leaf.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    assert!(index < leaves.len(), "leaf {index} of {}", leaves.len());
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(left_of(leaves.len()));
    let (mut way, neighbour) = match index.checked_sub(left.len()) {
        None => (path(left, index), root(right)),
        Some(index) => (path(right, index), root(left)),
    };
    way.push(neighbour);
    way
}

/// The root that the leaf at `index` of `leaves` leads to over `path`; nothing if a path of such a leaf has another
/// length.
#[must_use]
pub fn root_over(leaf: &Hash, index: u64, leaves: u64, path: &[Hash]) -> Option<Hash> {
    if index >= leaves {
        return None;
    }
    // From the bottom up, as RFC 9162 verifies: where a node stands, and where the last one of its level does.
    let (mut place, mut last) = (index, leaves - 1);
    let mut node = hash_leaf(leaf);
    for neighbour in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            node = hash_node(neighbour, &node);
            // A last one without a right neighbour rises until it is one.
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            node = hash_node(&node, neighbour);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|number| blake3::hash(&number.to_le_bytes()).into()).collect()
    }

    /// The definition of RFC 6962, 2.1, word for word, with nothing of the code above.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => blake3::hash(b"").into(),
            [leaf] => blake3::hash(&[b"\0".as_slice(), leaf].concat()).into(),
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                let (left, right) = (defined(&leaves[..k]), defined(&leaves[k..]));
                blake3::hash(&[b"\x01".as_slice(), &left, &right].concat()).into()
            }
        }
    }

    #[test]
    fn the_root_is_the_one_that_the_rfc_defines() {
        for count in 0..=130 {
            let leaves = leaves(count);
            assert_eq!(root(&leaves), defined(&leaves), "{count} leaves");
        }
    }

    #[test]
    fn every_leaf_is_proved_by_its_path_and_by_no_other() {
        for count in 1..=40 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, index);
                let over = |leaf: &Hash, index: usize, leaves: usize, path: &[Hash]| {
                    root_over(leaf, index as u64, leaves as u64, path)
                };
                assert_eq!(over(leaf, index, count, &path), Some(root), "{index} of {count}");
                for other in (0..count).filter(|other| *other != index) {
                    assert_ne!(over(&leaves[other], index, count, &path), Some(root));
                    assert_ne!(over(leaf, other, count, &path), Some(root), "{index} at {other} of {count}");
                }
                assert_eq!(over(leaf, count, count, &path), None, "no such leaf");
                let longer = [path.as_slice(), &[root]].concat();
                assert_eq!(over(leaf, index, count, &longer), None);
                if let [shorter @ .., _] = path.as_slice() {
                    assert_eq!(over(leaf, index, count, shorter), None);
                }
                for step in 0..path.len() {
                    let mut wrong = path.clone();
                    wrong[step][7] ^= 1;
                    assert_ne!(over(leaf, index, count, &wrong), Some(root));
                }
            }
        }
    }

    #[test]
    fn an_inner_node_is_no_leaf() {
        let leaves = leaves(4);
        let nodes = [defined(&leaves[..2]), defined(&leaves[2..])];
        assert_ne!(root(&nodes), root(&leaves));
    }
}
