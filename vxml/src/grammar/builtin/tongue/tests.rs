//! VoiceXML 2.0 appendix P in German, French and Spanish: what is said, and its value.

use crate::grammar::{Grammar, Limits, Mode, Network, match_words, sisr};
use std::sync::Arc;

/// A type in a language: what was said, and the value (JSON), or "-" for no match.
fn check(lang: &str, kind: &str, rows: &[(&str, &str)]) {
    let grammar = Grammar::from_builtin(kind, Mode::Voice, lang).expect(kind);
    let net = Arc::new(Network::compile(&grammar, &|_| None, &Limits::default()).expect(kind));
    let mut wrong = Vec::new();
    for (said, expected) in rows {
        let parse = match_words(&net, said.split_whitespace()).expect("within limits");
        let got = match parse.map(|p| sisr::semantics(&p, &net, 1.0)) {
            None => "-".to_owned(),
            Some(sisr::Semantics::Value(serde_json::Value::String(text))) => text,
            Some(sisr::Semantics::Value(other)) => other.to_string(),
            Some(sisr::Semantics::Script(_)) => panic!("builtins need no engine"),
        };
        if got != *expected {
            wrong.push(format!("{lang} {kind} {said:?}: {got}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn german_boolean_digits_number() {
    let answers = [
        ("ja", "true"),
        ("Ja bitte", "true"),
        ("das stimmt", "true"),
        ("natürlich", "true"),
        ("jawohl", "true"),
    ];
    check("de-DE", "boolean", &answers);
    let answers =
        [("nein", "false"), ("nein danke", "false"), ("das stimmt nicht", "false"), ("vielleicht", "-")];
    check("de-DE", "boolean", &answers);
    check(
        "de",
        "digits?length=4",
        &[("null zwei zwo fünf", "0225"), ("eins zwei drei", "-"), ("1 2 3 4", "1234")],
    );
    check(
        "de-AT",
        "number",
        &[
            ("null", "0"),
            ("elf", "11"),
            ("einundzwanzig", "21"),
            ("fuenfunddreissig", "35"),
            ("hundert", "100"),
            ("hundert fünf", "105"),
            ("zweihundertdreiundvierzig", "243"),
            ("drei hundert zwölf", "312"),
            ("tausend", "1000"),
            ("zweitausend fünfhundert", "2500"),
            ("zwölf tausend drei hundert", "12300"),
            ("zwei millionen dreihundert tausend vier", "2300004"),
            ("minus drei komma eins vier", "-3.14"),
            ("null komma fünf", "0.5"),
            ("eins zwei drei", "123"),
            ("komma", "-"),
        ],
    );
}

#[test]
fn german_currency_phone_date_time() {
    check(
        "de-DE",
        "currency",
        &[
            ("zwölf euro fünfzig", "EUR12.50"),
            ("drei euro und neun cent", "EUR3.09"),
            ("neunundneunzig cent", "EUR0.99"),
            ("hundert dollar", "USD100.00"),
            ("zwei franken achtzig", "CHF2.80"),
            ("zwölf komma fünf", "12.50"),
            ("zwanzig", "20.00"),
        ],
    );
    check(
        "de-DE",
        "phone",
        &[
            ("null drei null eins zwei drei vier", "0301234"),
            ("zweiundvierzig siebzehn durchwahl fünf", "4217x5"),
        ],
    );
    check(
        "de-DE",
        "date",
        &[
            ("der vierte märz zweitausendfünf", "20050304"),
            ("am einundzwanzigsten juni", "????0621"),
            ("dritter zwölfter neunzehnhundertneunundachtzig", "19891203"),
            ("montag der erste mai", "????0501"),
            ("mai zweitausendvierundzwanzig", "202405??"),
            ("neunzehnhundertneunzig", "1990????"),
            ("der zweiunddreißigste mai", "-"),
        ],
    );
    check(
        "de-DE",
        "time",
        &[
            ("neun uhr", "0900?"),
            ("neun uhr dreißig morgens", "0930a"),
            ("vierzehn uhr fünf", "1405h"),
            ("null uhr zehn", "0010h"),
            ("halb sieben", "0630?"),
            ("halb eins mittags", "-"),
            ("halb eins", "1230?"),
            ("viertel nach acht abends", "0815p"),
            ("viertel vor eins", "1245?"),
            ("dreiviertel sieben", "0645?"),
            ("fünf vor halb sieben", "0625?"),
            ("zehn nach drei nachts", "0310a"),
            ("mittag", "1200p"),
            ("mitternacht", "1200a"),
            ("fünfundzwanzig uhr", "-"),
        ],
    );
}

#[test]
fn french_boolean_digits_number() {
    let answers =
        [("oui", "true"), ("oui s'il vous plaît", "true"), ("d'accord", "true"), ("tout à fait", "true")];
    check("fr-FR", "boolean", &answers);
    let answers =
        [("non", "false"), ("non merci", "false"), ("ce n'est pas exact", "false"), ("peut-être", "-")];
    check("fr-FR", "boolean", &answers);
    check("fr", "digits?maxlength=3", &[("zéro un deux", "012"), ("zero", "0"), ("un un un un", "-")]);
    check(
        "fr-CA",
        "number",
        &[
            ("vingt et un", "21"),
            ("vingt-deux", "22"),
            ("soixante et onze", "71"),
            ("soixante-dix-neuf", "79"),
            ("soixante dix neuf", "79"),
            ("quatre-vingts", "80"),
            ("quatre vingt un", "81"),
            ("quatre-vingt-dix-sept", "97"),
            ("septante-deux", "72"),
            ("nonante et un", "91"),
            ("cent", "100"),
            ("deux cent trois", "203"),
            ("trois cents", "300"),
            ("mille neuf cent quatre-vingt-dix-neuf", "1999"),
            ("deux millions trois cent mille", "2300000"),
            ("moins trois virgule quatorze", "-3.14"),
            ("un deux trois", "123"),
        ],
    );
}

#[test]
fn french_currency_phone_date_time() {
    check(
        "fr-FR",
        "currency",
        &[
            ("douze euros cinquante", "EUR12.50"),
            ("trois euros et cinq centimes", "EUR3.05"),
            ("quatre-vingt-dix-neuf centimes", "EUR0.99"),
            ("cent francs", "CHF100.00"),
            ("douze virgule cinquante", "12.50"),
        ],
    );
    check("fr-CA", "currency", &[("vingt dollars", "CAD20.00")]);
    check(
        "fr-FR",
        "phone",
        &[
            ("zéro un quarante-deux soixante-huit cinquante-trois zéro zéro", "0142685300"),
            ("un deux trois poste quatre", "123x4"),
        ],
    );
    check(
        "fr-FR",
        "date",
        &[
            ("le quatre mars deux mille cinq", "20050304"),
            ("le premier mai", "????0501"),
            ("lundi vingt et un juin", "????0621"),
            ("le dix août dix-neuf cent quatre-vingt-neuf", "19890810"),
            ("mai deux mille vingt-quatre", "202405??"),
            ("le trente-deux mai", "-"),
        ],
    );
    check(
        "fr-FR",
        "time",
        &[
            ("neuf heures", "0900?"),
            ("neuf heures trente du matin", "0930a"),
            ("quatorze heures cinq", "1405h"),
            ("six heures et demie", "0630?"),
            ("huit heures et quart du soir", "0815p"),
            ("une heure moins le quart", "1245?"),
            ("sept heures moins dix", "0650?"),
            ("midi", "1200p"),
            ("midi et demi", "1230p"),
            ("minuit", "1200a"),
            ("midi moins le quart", "1145a"),
        ],
    );
}

#[test]
fn spanish_boolean_digits_number() {
    let answers = [
        ("sí", "true"),
        ("si por favor", "true"),
        ("claro", "true"),
        ("de acuerdo", "true"),
        ("no", "false"),
    ];
    check("es-ES", "boolean", &answers);
    check("es-ES", "boolean", &[("no gracias", "false"), ("para nada", "false"), ("quizás", "-")]);
    check("es", "digits", &[("cero uno dos", "012"), ("nueve", "9")]);
    check(
        "es-MX",
        "number",
        &[
            ("veintiuno", "21"),
            ("veintidos", "22"),
            ("dieciséis", "16"),
            ("treinta y cinco", "35"),
            ("cien", "100"),
            ("ciento uno", "101"),
            ("doscientos cuarenta y tres", "243"),
            ("quinientas", "500"),
            ("mil", "1000"),
            ("dos mil quinientos", "2500"),
            ("tres millones doscientos mil", "3200000"),
            ("menos tres coma catorce", "-3.14"),
            ("uno dos tres", "123"),
        ],
    );
}

#[test]
fn spanish_currency_phone_date_time() {
    check(
        "es-ES",
        "currency",
        &[
            ("doce euros con cincuenta", "EUR12.50"),
            ("tres euros y cinco céntimos", "EUR3.05"),
            ("noventa y nueve centimos", "EUR0.99"),
            ("cien dólares", "USD100.00"),
            ("veinte pesos", "20.00"),
        ],
    );
    check(
        "es-MX",
        "currency",
        &[("veinte pesos con cincuenta centavos", "MXN20.50"), ("diez centavos", "MXN0.10")],
    );
    check("es-AR", "currency", &[("mil pesos", "ARS1000.00")]);
    check(
        "es-ES",
        "phone",
        &[("noventa y uno quinientos", "-"), ("noventa y uno veinte treinta extensión dos", "912030x2")],
    );
    check(
        "es-ES",
        "date",
        &[
            ("el cuatro de marzo de dos mil cinco", "20050304"),
            ("primero de mayo", "????0501"),
            ("lunes veintiuno de junio", "????0621"),
            ("diez de agosto de mil novecientos ochenta y nueve", "19890810"),
            ("mayo de dos mil veinticuatro", "202405??"),
            ("treinta y dos de mayo", "-"),
        ],
    );
    check(
        "es-ES",
        "time",
        &[
            ("las nueve", "0900?"),
            ("a las nueve y treinta de la mañana", "0930a"),
            ("catorce horas cinco minutos", "1405h"),
            ("las seis y media", "0630?"),
            ("las ocho y cuarto de la noche", "0815p"),
            ("la una menos cuarto", "1245?"),
            ("las siete menos diez", "0650?"),
            ("mediodía", "1200p"),
            ("medianoche", "1200a"),
            ("las doce de la noche", "1200a"),
        ],
    );
}
