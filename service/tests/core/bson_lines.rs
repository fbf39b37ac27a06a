//! Lines in BSON, byte for byte as a real service sent them.

use squall_service::core::checkpoint::{Bucket, Checkpoint, Operation};
use squall_service::core::encoding::Encoding;
use squall_service::core::lines::{self, Line};
use squall_service::core::source::{Lsn, Relation, RowIdentity};

/// `{"checkpoint_complete":{"last_op_id":"119"}}`.
const COMPLETE: &str = "\
    3300000003636865636b706f696e745f636f6d706c6574650019000000026c6173745f6f705f696400040000003131390000\
    00";

/// A `data` line with a REMOVE.
const REMOVAL: &str = "\
    170100000364617461000c010000026275636b6574000b0000003123676c6f62616c5b5d0002616674657200040000003132\
    3000086861735f6d6f72650000046461746100bc000000033000b4000000026f705f6964000400000031323100026f700007\
    00000052454d4f564500026f626a6563745f7479706500040000006d777700026f626a6563745f6964000300000039370010\
    636865636b73756d001e33e765027375626b6579004a00000034323566343237362d303364322d346531392d616266342d38\
    65386230333033306139342f66643135353061622d626635662d353365622d383433382d383564376537643965626265000a\
    64617461000000026e6578745f61667465720004000000313231000000";

/// A `data` line with a PUT.
const PUT: &str = "\
    3201000003646174610027010000026275636b6574000b0000003123676c6f62616c5b5d0002616674657200040000003131\
    3900086861735f6d6f72650000046461746100d7000000033000cf000000026f705f6964000400000031323000026f700004\
    00000050555400026f626a6563745f7479706500040000006d777700026f626a6563745f6964000200000038000163686563\
    6b73756d00000020f1ba33e941027375626b6579004a00000034323566343237362d303364322d346531392d616266342d38\
    65386230333033306139342f64353766613538322d623737342d356362632d393435332d3430303766666462656637310002\
    6461746100170000007b226964223a2238222c226b223a382c2276223a307d000000026e6578745f61667465720004000000\
    313230000000";

/// A state like that of the recorded service.
fn bucket() -> Bucket {
    Bucket {
        id: 1,
        name: "1#global[]".into(),
        relation: Relation {
            oid: 1,
            schema: "public".into(),
            name: "mww".into(),
            replica_identity: 'd',
            columns: vec![],
        },
        row_identity: RowIdentity {
            columns: vec![],
            unique: true,
        },
        definition: String::new(),
        checksum: 0,
        count: 121,
        last_op_id: 121,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bson_lines_are_those_of_powersync() {
    let bucket = bucket();
    let complete = lines::checkpoint_complete(&Checkpoint {
        lsn: Lsn(1),
        last_op_id: 119,
        system: String::new(),
        buckets: vec![],
    });
    let removal = [Operation {
        op_id: 121,
        subkey: "425f4276-03d2-4e19-abf4-8e8b03030a94/fd1550ab-bf5f-53eb-8438-85d7e7d9ebbe".into(),
        object_id: "97".into(),
        data: None,
        checksum: 1_709_650_718,
    }];
    // Its checksum does not fit into 31 bits.
    let put = [Operation {
        op_id: 120,
        subkey: "425f4276-03d2-4e19-abf4-8e8b03030a94/d57fa582-b774-5cbc-9453-4007ffdbef71".into(),
        object_id: "8".into(),
        data: Some(r#"{"id":"8","k":8,"v":0}"#.into()),
        checksum: 3_382_564_745,
    }];
    let put_bucket = Bucket {
        last_op_id: 120,
        ..bucket.clone()
    };
    for (line, recorded) in [
        (complete, COMPLETE),
        (lines::data(&bucket, 120, &removal, true), REMOVAL),
        (lines::data(&put_bucket, 119, &put, true), PUT),
    ] {
        assert_eq!(hex(&Encoding::Bson.encode(&line)), recorded);
    }
    let expires = hex(&Encoding::Bson.encode(&Line::TokenExpiresIn(20)));
    assert_eq!(
        expires,
        "1b00000010746f6b656e5f657870697265735f696e001400000000"
    );
}
