//! Pure: the error codes of Dataverse the loader knows, and what each of them asks for.
//!
//! Source of the whole table: `dataverse-web-api.md` §10.3 (codes, names and classes), §1.6
//! (transient ones). Names are a closed set and serve as metric labels.

use crate::client::fault::FaultCode;
use crate::record::outcome::FaultCategory;
use crate::record::throttle::Throttle;

/// What a code asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultClass {
    /// A service-protection limit; nothing was done.
    Throttled(Throttle),
    /// The same request may succeed later.
    Transient {
        /// Fewer rows or fewer requests at once would help.
        shrink: bool,
        /// Surely rolled back, even when the status is 5xx.
        rolled_back: bool,
    },
    /// Generic SQL error: the SQL number in its text decides.
    Sql,
    /// The request may have been carried out.
    Ambiguous,
    /// A key or id is taken: a create may have been carried out before.
    Exists,
    /// A row is refused.
    Row,
    /// All rows of the table would be refused: configuration, privileges, state of the service.
    Systemic,
    /// The message is not available for this table.
    Unsupported,
}

/// One known code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownFault {
    /// The code.
    pub code: FaultCode,
    /// Its name; label of metrics.
    pub name: &'static str,
    /// What it asks for.
    pub class: FaultClass,
    /// What kind of trouble a row refused with it is in.
    pub category: FaultCategory,
    /// Whether the same row may pass later without a change of its data.
    pub retryable: bool,
}

/// Label of a fault without a code.
pub const NO_CODE: &str = "no_code";
/// Label of a fault whose code is not in [`KNOWN`].
pub const UNKNOWN_CODE: &str = "unknown_code";

/// The entry of `code`.
#[must_use]
pub fn known(code: FaultCode) -> Option<&'static KnownFault> {
    KNOWN.binary_search_by_key(&code, |k| k.code).ok().map(|i| &KNOWN[i])
}

/// The metric label of `code`.
#[must_use]
pub fn label(code: Option<FaultCode>) -> &'static str {
    code.map_or(NO_CODE, |c| known(c).map_or(UNKNOWN_CODE, |k| k.name))
}

const fn fault(
    code: u32,
    name: &'static str,
    class: FaultClass,
    category: FaultCategory,
    retryable: bool,
) -> KnownFault {
    KnownFault { code: FaultCode(code), name, class, category, retryable }
}

const fn row(code: u32, name: &'static str, category: FaultCategory) -> KnownFault {
    fault(code, name, FaultClass::Row, category, false)
}

/// A row that may pass in a later round: what it needs may be there by then.
const fn row_later(code: u32, name: &'static str, category: FaultCategory) -> KnownFault {
    fault(code, name, FaultClass::Row, category, true)
}

const fn systemic(code: u32, name: &'static str, category: FaultCategory) -> KnownFault {
    fault(code, name, FaultClass::Systemic, category, true)
}

const fn transient(code: u32, name: &'static str, shrink: bool, rolled_back: bool) -> KnownFault {
    let class = FaultClass::Transient { shrink, rolled_back };
    fault(code, name, class, FaultCategory::Transient, true)
}

const fn throttled(code: u32, name: &'static str, limit: Throttle) -> KnownFault {
    fault(code, name, FaultClass::Throttled(limit), FaultCategory::Transient, true)
}

const fn exists(code: u32, name: &'static str) -> KnownFault {
    fault(code, name, FaultClass::Exists, FaultCategory::Duplicate, false)
}

use FaultCategory::{
    Access, BusinessRule, Duplicate, Other, Reference, Required, State, Transient, Value,
};

/// All known codes, ascending.
///
/// Source: `dataverse-web-api.md` §10.3. Three codes the reference classes as configuration or
/// either (`0x80041a07`, `0x80048d19`, `0x80040231`/`0x80040299`) can be one row's fault and are
/// row-level here: a whole table refused with one code trips the breaker all the same.
pub static KNOWN: &[KnownFault] = &[
    row(0x8004_0200, "required_field_missing", Required),
    row(0x8004_0203, "invalid_argument", Value),
    systemic(0x8004_020d, "invalid_access_rights", Access),
    row(0x8004_0216, "unexpected", Other),
    row_later(0x8004_0217, "object_does_not_exist", Reference),
    fault(0x8004_0219, "not_implemented", FaultClass::Unsupported, Other, false),
    systemic(0x8004_0220, "privilege_denied", Access),
    row_later(0x8004_0224, "plugin_crashed", BusinessRule),
    row(0x8004_0225, "user_disabled", Access),
    row_later(0x8004_0227, "cannot_delete_due_to_association", Reference),
    row(0x8004_0228, "read_only_delete", State),
    row(0x8004_0229, "invalid_owner", Access),
    row(0x8004_022b, "owner_disabled", Access),
    row(0x8004_022c, "data_out_of_range", Value),
    row(0x8004_022e, "read_only_update", State),
    row(0x8004_0230, "row_inactive", State),
    row_later(0x8004_0231, "principal_lacks_privileges", Access),
    row(0x8004_0233, "invalid_state", State),
    exists(0x8004_0237, "duplicate_record"),
    row(0x8004_0239, "invalid_date_time", Value),
    transient(0x8004_0255, "transaction_aborted", true, true),
    row(0x8004_0265, "plugin_refused", BusinessRule),
    systemic(0x8004_0276, "create_disabled", Access),
    row(0x8004_0278, "invalid_characters", Value),
    row_later(0x8004_0299, "principal_lacks_read_privilege", Access),
    fault(0x8004_0315, "not_supported", FaultClass::Unsupported, Other, false),
    row(0x8004_0333, "duplicate_detected", Duplicate),
    row(0x8004_0363, "invalid_guid", Value),
    row(0x8004_04cf, "case_already_resolved", State),
    row(0x8004_0515, "opportunity_already_closed", State),
    row(0x8004_0516, "opportunity_cannot_be_closed", State),
    systemic(0x8004_1102, "unknown_table", Other),
    systemic(0x8004_1103, "unknown_column", Other),
    row(0x8004_1136, "sql_overflow", Value),
    systemic(0x8004_1a01, "column_not_valid_for_create", Other),
    systemic(0x8004_1a02, "column_not_valid_for_update", Other),
    row(0x8004_1a07, "column_value_invalid", Value),
    systemic(0x8004_1a08, "column_not_valid_for_read", Other),
    fault(0x8004_4150, "sql_error", FaultClass::Sql, Transient, true),
    fault(0x8004_4151, "sql_timeout", FaultClass::Ambiguous, Transient, true),
    systemic(0x8004_430a, "paging_cookie_required", Other),
    row(0x8004_431a, "choice_out_of_range", Value),
    row(0x8004_431c, "boolean_out_of_range", Value),
    row(0x8004_432f, "integer_out_of_range", Value),
    row(0x8004_4330, "decimal_out_of_range", Value),
    row(0x8004_4331, "text_too_long", Value),
    transient(0x8004_4339, "lock_not_obtained", false, true),
    systemic(0x8004_4352, "expired_version_stamp", Other),
    row(0x8004_440a, "case_has_open_activities", State),
    row(0x8004_4411, "case_already_closed", State),
    row(0x8004_4a02, "file_too_large", Value),
    transient(0x8004_8105, "concurrent_cascade", false, true),
    exists(0x8004_8208, "connection_exists"),
    systemic(0x8004_8306, "access_denied", Access),
    systemic(0x8004_8405, "access_denied_security", Access),
    row(0x8004_8408, "invalid_status_for_state", State),
    row(0x8004_8cea, "currencies_differ", Value),
    row(0x8004_8ceb, "base_currency_underflow", Value),
    row(0x8004_8cec, "base_currency_overflow", Value),
    row(0x8004_8cef, "price_list_currency_differs", Value),
    row(0x8004_8cf6, "price_list_currency_mismatch", Value),
    row(0x8004_8cfb, "currency_missing", Required),
    row(0x8004_8cfc, "invalid_currency", Value),
    systemic(0x8004_8d0b, "link_entity_not_supported", Other),
    row(0x8004_8d19, "invalid_payload", Value),
    transient(0x8004_a001, "server_busy", true, false),
    systemic(0x8004_a104, "organization_disabled", Access),
    systemic(0x8004_a110, "cannot_act_on_behalf", Access),
    systemic(0x8004_a112, "application_user_disabled", Access),
    systemic(0x8004_a113, "administration_mode", Access),
    systemic(0x8004_e023, "aggregate_limit", Other),
    exists(0x8004_e30a, "object_already_exists"),
    transient(0x8004_ed47, "app_lock_timeout", false, true),
    systemic(0x8004_f503, "column_security_share", Access),
    systemic(0x8004_f504, "column_security_read", Access),
    systemic(0x8004_f507, "column_security_update", Access),
    row(0x8005_0222, "too_many_choices", Value),
    systemic(0x8005_0304, "licensing", Access),
    row(0x8006_0882, "version_mismatch", State),
    row(0x8006_0883, "version_not_provided", State),
    systemic(0x8006_0888, "bad_url", Other),
    transient(0x8006_088a, "http_error", false, false),
    systemic(0x8006_088d, "optimistic_concurrency_off", Other),
    systemic(0x8006_0890, "alternate_key_not_defined", Other),
    row_later(0x8006_0891, "not_found_by_key", Reference),
    exists(0x8006_0892, "duplicate_key"),
    systemic(0x8006_0893, "key_name_exists", Other),
    row(0x8006_089d, "many_found_by_key", Reference),
    row(0x8006_1005, "option_set_invalid", Value),
    transient(0x8007_1154, "concurrent_operation", false, true),
    throttled(0x8007_2321, "throttled_execution_time", Throttle::Time),
    throttled(0x8007_2322, "throttled_requests", Throttle::Requests),
    transient(0x8007_2323, "sql_resource_limit", true, false),
    transient(0x8007_2324, "sql_workers", true, false),
    systemic(0x8007_2325, "storage_full", Other),
    throttled(0x8007_2326, "throttled_concurrency", Throttle::Concurrency),
    systemic(0x8007_2491, "change_tracking_off", Other),
    row(0x8007_2553, "image_invalid", Value),
    systemic(0x8007_2560, "user_not_in_organization", Access),
    row(0x8009_0008, "file_chunk_too_large", Value),
    transient(0x8015_4b53, "operation_failed_try_again", false, false),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fault::parse_code;
    use std::collections::BTreeSet;

    /// Written down from the reference: hexadecimal, decimal and class of every code.
    const REFERENCE: &[(&str, i32, &str)] = &[
        ("0x80072321", -2_147_015_903, "T−"),
        ("0x80072322", -2_147_015_902, "T"),
        ("0x80072326", -2_147_015_898, "T−"),
        ("0x80072323", -2_147_015_901, "T−"),
        ("0x80072324", -2_147_015_900, "T−"),
        ("0x80072325", -2_147_015_899, "C"),
        ("0x80044150", -2_147_204_784, "T−"),
        ("0x80044151", -2_147_204_783, "T−"),
        ("0x80044339", -2_147_204_295, "T"),
        ("0x80048105", -2_147_188_475, "T"),
        ("0x80071154", -2_147_020_460, "T"),
        ("0x8004a001", -2_147_180_543, "T"),
        ("0x8004ed47", -2_147_160_761, "T"),
        ("0x80040255", -2_147_220_907, "T−"),
        ("0x80154b53", -2_146_088_109, "T"),
        ("0x80040237", -2_147_220_937, "I"),
        ("0x80060892", -2_147_088_238, "I/D"),
        ("0x80040333", -2_147_220_685, "D"),
        ("0x8004e30a", -2_147_163_382, "I"),
        ("0x80048208", -2_147_188_216, "I"),
        ("0x80040217", -2_147_220_969, "R"),
        ("0x80060891", -2_147_088_239, "R"),
        ("0x8006089d", -2_147_088_227, "D"),
        ("0x80060890", -2_147_088_240, "C"),
        ("0x80060882", -2_147_088_254, "D"),
        ("0x80060883", -2_147_088_253, "D"),
        ("0x8006088d", -2_147_088_243, "C"),
        ("0x80044331", -2_147_204_303, "D"),
        ("0x8004432f", -2_147_204_305, "D"),
        ("0x80044330", -2_147_204_304, "D"),
        ("0x8004431a", -2_147_204_326, "D"),
        ("0x80061005", -2_147_086_331, "D"),
        ("0x8004431c", -2_147_204_324, "D"),
        ("0x80050222", -2_147_155_422, "D"),
        ("0x80040239", -2_147_220_935, "D"),
        ("0x80040278", -2_147_220_872, "D"),
        ("0x80040363", -2_147_220_637, "D"),
        ("0x8004022c", -2_147_220_948, "D"),
        ("0x80041136", -2_147_217_098, "D"),
        ("0x80040200", -2_147_220_992, "D"),
        ("0x80040203", -2_147_220_989, "D"),
        ("0x80040216", -2_147_220_970, "D"),
        ("0x80048d19", -2_147_185_383, "D"),
        ("0x80060893", -2_147_088_237, "C"),
        ("0x80060888", -2_147_088_248, "C"),
        ("0x80041a01", -2_147_214_847, "C"),
        ("0x80041a02", -2_147_214_846, "C"),
        ("0x80041a07", -2_147_214_841, "C"),
        ("0x80041a08", -2_147_214_840, "C"),
        ("0x80041102", -2_147_217_150, "C"),
        ("0x80041103", -2_147_217_149, "C"),
        ("0x80048408", -2_147_187_704, "D"),
        ("0x80040233", -2_147_220_941, "D"),
        ("0x80040230", -2_147_220_944, "D"),
        ("0x800404cf", -2_147_220_273, "I"),
        ("0x80044411", -2_147_204_079, "I"),
        ("0x80040515", -2_147_220_203, "I"),
        ("0x80040516", -2_147_220_202, "D"),
        ("0x8004440a", -2_147_204_086, "D"),
        ("0x80040227", -2_147_220_953, "R"),
        ("0x80040228", -2_147_220_952, "D"),
        ("0x8004022e", -2_147_220_946, "D"),
        ("0x80048cfb", -2_147_185_413, "D"),
        ("0x80048cfc", -2_147_185_412, "D"),
        ("0x80048cea", -2_147_185_430, "D"),
        ("0x80048ceb", -2_147_185_429, "D"),
        ("0x80048cec", -2_147_185_428, "D"),
        ("0x80048cef", -2_147_185_425, "D"),
        ("0x80048cf6", -2_147_185_418, "D"),
        ("0x80040220", -2_147_220_960, "C"),
        ("0x80040231", -2_147_220_943, "C/D"),
        ("0x80040299", -2_147_220_839, "C/D"),
        ("0x80040276", -2_147_220_874, "C"),
        ("0x8004020d", -2_147_220_979, "C"),
        ("0x80048306", -2_147_187_962, "C"),
        ("0x80048405", -2_147_187_707, "C"),
        ("0x8004f503", -2_147_158_781, "C"),
        ("0x8004f504", -2_147_158_780, "C"),
        ("0x8004f507", -2_147_158_777, "C"),
        ("0x8004a110", -2_147_180_272, "C"),
        ("0x80040225", -2_147_220_955, "D"),
        ("0x8004022b", -2_147_220_949, "D"),
        ("0x80040229", -2_147_220_951, "D"),
        ("0x80072560", -2_147_015_328, "C"),
        ("0x8004a112", -2_147_180_270, "C"),
        ("0x8004a113", -2_147_180_269, "C"),
        ("0x8004a104", -2_147_180_284, "C"),
        ("0x80040265", -2_147_220_891, "D"),
        ("0x80040224", -2_147_220_956, "D"),
        ("0x8006088a", -2_147_088_246, "T"),
        ("0x80040219", -2_147_220_967, "C"),
        ("0x80040315", -2_147_220_715, "C"),
        ("0x8004e023", -2_147_164_125, "C"),
        ("0x8004430a", -2_147_204_342, "C"),
        ("0x80072491", -2_147_015_535, "C"),
        ("0x80044352", -2_147_204_270, "C"),
        ("0x80044a02", -2_147_202_558, "D"),
        ("0x80090008", -2_146_893_816, "D"),
        ("0x80072553", -2_147_015_341, "D"),
        ("0x80048d0b", -2_147_185_397, "C"),
        ("0x80050304", -2_147_155_196, "C"),
    ];

    #[test]
    fn the_table_is_sorted_and_its_names_are_unique() {
        assert!(KNOWN.is_sorted_by(|a, b| a.code < b.code));
        let names: BTreeSet<_> =
            KNOWN.iter().map(|k| k.name).chain([NO_CODE, UNKNOWN_CODE]).collect();
        assert_eq!(names.len(), KNOWN.len() + 2);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(names.iter().all(|n| n.chars().all(plain)));
    }

    #[test]
    fn every_code_of_the_reference_is_known_with_its_class() {
        for (hex, decimal, letters) in REFERENCE {
            let code = parse_code(hex).unwrap();
            assert_eq!(parse_code(&decimal.to_string()), Some(code), "{hex}");
            let known = known(code).unwrap_or_else(|| panic!("{hex} is not in the table"));
            let fits = match known.class {
                FaultClass::Throttled(_) | FaultClass::Sql | FaultClass::Ambiguous => {
                    letters.starts_with('T')
                }
                FaultClass::Transient { shrink, .. } => {
                    letters.starts_with('T')
                        && (letters.contains('−') == shrink || *hex == "0x8004a001")
                }
                FaultClass::Exists => letters.contains('I'),
                FaultClass::Row => {
                    // Closed-already codes concern messages the loader does not send.
                    letters.contains(['D', 'R', 'I']) || *hex == "0x80041a07"
                }
                FaultClass::Systemic | FaultClass::Unsupported => letters.contains('C'),
            };
            assert!(fits, "{hex} {letters}: {:?}", known.class);
            if *letters == "R" {
                assert!(known.retryable, "{hex} can be resolved later");
            }
        }
        assert_eq!(REFERENCE.len(), KNOWN.len());
    }

    #[test]
    fn labels() {
        assert_eq!(label(None), "no_code");
        assert_eq!(label(Some(FaultCode(1))), "unknown_code");
        assert_eq!(label(Some(FaultCode(0x8004_0237))), "duplicate_record");
    }
}
