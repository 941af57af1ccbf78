//! Who may ask: the roles that certificates carry.

/// A caller's role. Numbers are permanent: they stand in every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Role {
    /// The ledger itself: settings, expiries, digests. No certificate carries it.
    System = 0,
    /// Web, app and lobby servers that act for players.
    Frontend = 1,
    /// Staff and services that move money in and out for players.
    Cashier = 2,
    /// The bridge to game providers.
    Games = 3,
    /// The bridge to blockchains.
    Chain = 4,
    /// Limits, exclusions, freezes.
    Risk = 5,
    /// Sets up assets and corrects books.
    Operator = 6,
    /// The second pair of eyes.
    Approver = 7,
    /// Reads and replays.
    Auditor = 8,
    /// Reads for players who ask.
    Support = 9,
}

impl Role {
    /// Every role that a certificate can carry, in the order of their numbers.
    pub const CALLERS: [Self; 9] = [
        Self::Frontend,
        Self::Cashier,
        Self::Games,
        Self::Chain,
        Self::Risk,
        Self::Operator,
        Self::Approver,
        Self::Auditor,
        Self::Support,
    ];

    /// The role's name in certificates, file names and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Frontend => "frontend",
            Self::Cashier => "cashier",
            Self::Games => "games",
            Self::Chain => "chain",
            Self::Risk => "risk",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Support => "support",
        }
    }

    /// The caller's role with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::CALLERS.into_iter().find(|role| role.name() == name)
    }

    /// The role with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        if number == 0 {
            return Some(Self::System);
        }
        Self::CALLERS.into_iter().find(|role| *role as u8 == number)
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleSet(u16);

impl RoleSet {
    /// The roles listed.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < roles.len() {
            bits |= 1 << roles[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `role` is one of them.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }
}
