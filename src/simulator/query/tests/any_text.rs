//! Any text of a client.

use super::Small;

proptest::proptest! {
    #[test]
    fn no_text_of_a_client_brings_the_reader_down(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "name", "eq", "ne", "and", "or", "not", "(", ")", "'", "''", "'x'", "[", "]", ",",
                "=", "@p", "null", "1", "-", ".", "/", "any(", "x:", "x/name", "contains(", "in",
                "Microsoft.Dynamics.CRM.In(", "PropertyName", "PropertyValues", "\"", "\\",
                "contact_customer_accounts/any(", "2024-01-01", "%27", "%", "é", "<", ">", "$",
                "accounts", "(name='", "$filter=", "$select=", "$expand=", "$orderby=", "&", "?",
                "$apply=", "aggregate(", "with", "as", "sum", "$skiptoken=",
                "<cookie page=\"18446744073709551615\"><position last=\"18446744073709551615\" \
                 next=\"1\" /></cookie>", "fetchXml=", "<fetch>", "<entity name='account'/>",
                "</fetch>", "@p=", "$count=true", "EntityDefinitions", "Attributes", ";", " ",
            ]),
            0..14,
        ),
        blanks in proptest::bool::ANY,
    ) {
        let small = SMALL.with(std::rc::Rc::clone);
        let text = words.join(if blanks { " " } else { "" });
        for url in [
            text.clone(),
            format!("accounts?{text}"),
            format!("accounts?$filter={text}"),
            format!("accounts?$expand={text}"),
            format!("accounts({text})"),
            format!("EntityDefinitions?$filter={text}"),
        ] {
            let status = small.try_get(&url, &[]).map_or_else(|r| r.status, |a| a.status);
            proptest::prop_assert!([200, 204, 400, 404, 501].contains(&status), "{url}: {status}");
        }
    }
}

thread_local! {
    /// One world for the many runs of a property.
    static SMALL: std::rc::Rc<Small> = std::rc::Rc::new(Small::new());
}
