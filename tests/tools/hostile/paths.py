"""What models and admins may write into paths, queries, addresses and headers to get somewhere else."""

REFUSED = (
    *("", " ", "\t", "x" * 513),
    # steps up, plain and in every dress
    *(
        ".",
        "..",
        "...",
        "../admin",
        "../../etc/passwd",
        "a/../../b",
        "a/..",
        "./x",
        "x/.",
        "..\\admin",
        "a\\..\\b",
        "....//",
    ),
    *(" ..", ".. ", "..\u3000", "..;", "..;/admin", "..;jsessionid=1/admin", "a/..;b=c/d"),
    *("%2e%2e", "%2E%2E", ".%2e", "%2e./admin", "%2e%2e%2fadmin", "..%2f", "..%5cadmin", "%2e%2e;/x", "a%2f..%2fb"),
    *("%252e%252e", "%252e%252e%252fadmin", "%25252e%25252e", "%%32%65%%32%65", "%2525252525252525"),
    *("．．", "．．/admin", "..／admin", "‥", "…", "%ef%bc%8e%ef%bc%8e", "..%ef%bc%8fadmin"),
    *("%c0%ae%c0%ae", "%c0%ae%c0%ae/admin", "%e0%80%ae", "%ff"),
    # ends of lines, NUL and what can't be seen
    *("x\x00", "x%00.json", "..\x00", "x\n", "\r\nX-Admin: 1", "x HTTP/1.1\r\nHost: evil", "x%0d%0aSet-Cookie: a=b"),
    *("\x7f", "\x1b[0m", "a\u2028b", "a\u2029b", "\ud800", "a\udcffb", "\x85"),
)
"""Values for `{id}` in /items/{id} that are never sent."""

CARRIED = (
    *("a/b", "/etc/passwd", "//evil.example/x", "http://evil.example/", "a@evil.example", "@evil.example", "a:80"),
    *(
        "a?admin=1",
        "?admin=1",
        "a#top",
        "#",
        "a&admin=1",
        "a;admin=1",
        "a=b",
        "a+b",
        "a b",
        "a%b",
        "50%",
        "50%25",
        "a,b",
        "*",
    ),
    *(
        "\\\\host\\share",
        "a|b",
        "a'b",
        'a"b',
        "a<b>",
        "{id}",
        "{{secret:KEY}}",
        "${HOME}",
        "$(id)",
        "`id`",
        "%s",
        "%(id)s",
    ),
    *("'; DROP TABLE items; --", "<script>alert(1)</script>", "%u002e%u002e", "~root", "...a", "v1..2", ".env", "-rf"),
    *("Công ty Hà Nội", "日本", "🚚", "a\u200bb", "x" * 512),
)
"""Values that are sent as one segment, in which the service finds just what the model wrote."""

ENDPOINTS = (
    *("", "api.example.com/items", "//api.example.com/items", "/items", "ftp://api.example.com/", "file:///etc/passwd"),
    *(
        "javascript:alert(1)",
        "https://",
        "https:///items",
        "https://api.example.com/items#top",
        "https://api example.com/",
    ),
    *("https://user@api.example.com/", "https://user:secret@api.example.com/", "https://api.example.com:99999/"),
    *(
        "https://api.example.com:22/",
        "http://api.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.1.2.3/",
    ),
    *("https://169.254.169.254/latest/meta-data", "https://localhost/", "https://LOCALHOST./", "https://x.localhost/"),
    *(
        "https://0x7f000001/",
        "https://2130706433/",
        "https://127.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://0.0.0.0/",
    ),
    *("https://{id}/", "https://{id}.example.com/", "https://api.example.com:{id}/", "https://api.example.com{id}"),
    *("https://api.example.com/../admin", "https://api.example.com/a/./b", "https://api.example.com/%2e%2e/b"),
    *(
        "https://api.example.com/{}",
        "https://api.example.com/{a b}",
        "https://api.example.com/{id",
        "https://a.example/}",
    ),
    *("https://api.example.com/{{id}}", "https://api.example.com/{{secret:KEY}}", "https://api.example.com/?q={id}"),
    *("https://api.example.com/{unknown}", "https://api.example.com/{optional}", "https://api.example.com/{0}"),
    *("https://api.example.com\\@127.0.0.1/", "https://api.example.com/a\r\nb", "https://api.example.com/\x00"),
)
"""Addresses that no row may have; `id` and `optional` are parameters, and `id` is required."""

HEADERS = (
    *(("Host", "evil.example"), ("host", "x"), ("Content-Length", "0"), ("Transfer-Encoding", "chunked")),
    *(("Connection", "close"), ("Upgrade", "h2c"), ("TE", "trailers"), ("Expect", "100-continue")),
    *(
        ("Content-Type", "text/html"),
        ("Proxy-Authorization", "Basic x"),
        ("Idempotency-Key", "same"),
        ("Accept-Encoding", "br"),
    ),
    *(
        ("", "x"),
        ("X Y", "x"),
        ("X:Y", "x"),
        ("X-Y:", "x"),
        ("X\r\nHost", "x"),
        ("X\x00", "x"),
        ("Ünicode", "x"),
        ("X" * 65, "x"),
    ),
    *(("X-A", "a\r\nHost: evil"), ("X-A", "a\nb"), ("X-A", "a\rb"), ("X-A", "a\x00"), ("X-A", "ü"), ("X-A", "a\tb")),
    *(("X-A", " a"), ("X-A", "a "), ("X-A", "\x7f"), ("X-A", "a" * 4097), ("X-A", "\u2028"), ("X-A", "🔑")),
    *(("X-A", "{{secret:}}"), ("X-A", "{{KEY}}"), ("X-A", "{{secret:A B}}"), ("X-A", "{{secret:KEY}"), ("X-A", "}}")),
    *(("X-A", "{{secret:../KEY}}"), ("X-A", "{{secret:KEY\n}}"), ("X-A", "{{env:HOME}}")),
)
"""Headers that no row may have."""

SECRETS = ("a\r\nHost: evil", "a\nb", "a\x00b", "ü", "", "a" * 4097)
"""Values of a secret that can't stand in a header."""
