//! Our node and each real peer, both ways. A row is `server_to_client::what_is_moved`; what is moved is
//! in `cases`, what a row proves in `rows`.

#[macro_use]
mod cases;
mod peer;
mod rows;

mod kubo_to_us {
    use bitswap_interop::Kubo;

    use crate::rows::{directory_from, from};

    common!(from, directory_from, Kubo);
    kubo_only!(from, Kubo);
}

mod us_to_kubo {
    use bitswap_interop::Kubo;

    use crate::rows::{directory_to, to};

    common!(to, directory_to, Kubo);
    kubo_only!(to, Kubo);
}

mod kubo_old_to_us {
    use bitswap_interop::KuboOld;

    use crate::rows::{directory_from, from};

    common!(from, directory_from, KuboOld);
    kubo_only!(from, KuboOld);
}

mod us_to_kubo_old {
    use bitswap_interop::KuboOld;

    use crate::rows::{directory_to, to};

    common!(to, directory_to, KuboOld);
    kubo_only!(to, KuboOld);
}

mod helia_to_us {
    use bitswap_interop::Helia;

    use crate::rows::{directory_from, from};

    common!(from, directory_from, Helia);
}

mod us_to_helia {
    use bitswap_interop::Helia;

    use crate::rows::{directory_to, to};

    common!(to, directory_to, Helia);
}
