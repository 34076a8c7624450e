//! Tests of [`super::Guarded`].

use super::*;

fn guarded(text: &str) -> Guarded {
    let source = Source {
        path: "p.star".into(),
        shown: "p.star".into(),
        text: text.into(),
    };
    let guarded = Guarded::new(&source);
    guarded.parse().unwrap();
    guarded
}

#[test]
fn guards_stand_around_what_they_guard() {
    for (text, expected) in [
        ("x = a.b(1)\n", "x = a.b(1)\n"),
        ("x = a.join(b)\n", "x = guarded_method(\"join\", a, b)\n"),
        (
            "x = (a + b).join(c)\n",
            "x = guarded_method(\"join\", (a + b), c)\n",
        ),
        (
            "x = f(a)[1].b.join(c)\n",
            "x = guarded_method(\"join\", f(a)[1].b, c)\n",
        ),
        (
            "x = 'a'.replace(b, c).format(d)\n",
            "x = guarded_method(\"format\", guarded_method(\"replace\", 'a', b, c), d)\n",
        ),
        (
            "x = [a][0].join(b if c else d)\n",
            "x = guarded_method(\"join\", [a][0], b if c else d)\n",
        ),
        (
            "x = str(a).join(b)\n",
            "x = guarded_method(\"join\", guarded_text(str, a), b)\n",
        ),
        (
            "x = (a\n    .join(b))\n",
            "x = (guarded_method(\"join\", a\n    , b))\n",
        ),
        ("x = a.join\n", "x = a.join\n"),
        ("def str(x):\n    return 1\n", "def str(x):\n    return 1\n"),
        ("x = max(range(3))\n", "x = max(guarded_new(range(3)))\n"),
        ("[i for i in range(3)]\n", "[i for i in range(3)]\n"),
        (
            "[i.upper() for i in dict(a)]\n",
            "guarded_look(); [i.upper() for i in dict(a) if guarded_look()]\n",
        ),
        (
            "x[1] *= a.join(b)\n",
            "x[1] *= guarded_factor(x[1], guarded_method(\"join\", a, b))\n",
        ),
        ("x()[1] *= 2\n", "x()[1] *= 2\n"),
        (
            "x += y; z = a[1:]\n",
            "x += guarded_addend(x, y); guarded_look(); z = a[1:]\n",
        ),
        (
            "for a in b:\n    if c: d.extend(e)\n    d.extend(e)\n",
            "for a in b:\n    if c: d.extend(e)\n    guarded_look(); d.extend(e)\n",
        ),
        (
            "x = f'{a.join(b)}{c!r}'\n",
            "x = f'{guarded_shown(guarded_method(\"join\", a, b))}{guarded_shown(c)!r}'\n",
        ),
    ] {
        assert_eq!(guarded(text).text, expected);
    }
}

#[test]
fn places_are_those_of_the_original() {
    let text = "x = str(a).join(b)\ny *= z + dict(a)\n";
    let guarded = guarded(text);
    for name in ["str", "a)", "b)", "y", "z", "dict"] {
        let there = u32::try_from(guarded.text.find(name).unwrap()).unwrap();
        let here = text.find(name).unwrap();
        let span = guarded.restored(Span::new(Pos::new(there), Pos::new(there + 1)));
        assert_eq!(span.span.begin().get() as usize, here, "{name}");
    }
}
