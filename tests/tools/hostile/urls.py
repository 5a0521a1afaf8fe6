"""URLs that must not reach this machine or its network. `{port}` is the trap's; names are known to DNS below only."""

LOOPBACK = (
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.255.255.254:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::]:{port}/",
)

ODD_SPELLINGS = (
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.1:{port}/",
    "http://017700000001:{port}/",
    "http://00000177.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://0:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://ⓛocalhost:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://0x01010101:{port}/",  # 1.1.1.1: public, but nobody honest writes it so
    "http://16843009:{port}/",
)

TWO_PARSERS = (
    "http://127.0.0.1:{port}\\@1.1.1.1/",
    "http://1.1.1.1\\@127.0.0.1:{port}/",
    "http://1.1.1.1@127.0.0.1:{port}/",
    "http://user:canary@127.0.0.1:{port}/",
    "http://public.example:80@127.0.0.1:{port}/",
    "http://public.example%40127.0.0.1:{port}/",
    "http://127.0.0.1:{port}%00.public.example/",
    "http://127.0.0.1%00.public.example:{port}/",
    "http://127.0.0.1%2f.public.example:{port}/",
    "http://127.0.0.1\x00.public.example:{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\r\nHost: public.example:{port}/",
    "http://127.0.0.1:{port}/\u200b",
    "http://127.0.0.1 :{port}/",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@public.example/",
    "http://127.0.0.1:{port}?@public.example/",
    "http:\\\\127.0.0.1:{port}\\",
    "http:127.0.0.1:{port}",
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "file:///etc/passwd",
    "http://127.0.0.1:0{port}/",
    "http://public.example:99999/",
    "http://public.example:-1/",
)

WRAPPED = (
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::ffff:10.0.0.1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b::169.254.169.254]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:7f00:1:0:0:0:0]:{port}/",
    "http://[2001:0:101:101:0:0:80ff:fffe]:{port}/",  # Teredo; 127.0.0.1 inverted in its last bits
    "http://[fe80::1%25lo]:{port}/",
    "http://[fe80::1%lo]:{port}/",
    "http://[::1%25lo]:{port}/",
)

PRIVATE = (
    "http://10.0.0.1:{port}/",
    "http://172.16.0.1:{port}/",
    "http://192.168.0.1:{port}/",
    "http://100.64.0.1:{port}/",
    "http://100.100.100.200:{port}/",  # Alibaba Cloud's metadata
    "http://169.254.169.254:{port}/latest/meta-data/",
    "http://168.63.129.16:{port}/",  # Azure's
    "http://192.0.0.192:{port}/",  # Oracle Cloud's
    "http://192.88.99.1:{port}/",
    "http://192.0.2.1:{port}/",
    "http://198.18.0.1:{port}/",
    "http://224.0.0.1:{port}/",
    "http://240.0.0.1:{port}/",
    "http://255.255.255.255:{port}/",
    "http://[fc00::1]:{port}/",
    "http://[fd00:ec2::254]:{port}/",  # Amazon's
    "http://[fe80::1]:{port}/",
    "http://[fec0::1]:{port}/",
    "http://[ff02::1]:{port}/",
    "http://[2001:db8::1]:{port}/",
    "http://[3fff::1]:{port}/",
    "http://[5f00::1]:{port}/",
    "http://[100::1]:{port}/",
)

NAMES = {
    "private.example": ["127.0.0.1"],
    "private6.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "metadata.example": ["169.254.169.254"],
    "linklocal.example": ["fe80::1%1"],
    "dual.example": ["1.1.1.1", "127.0.0.1"],
    "dual6.example": ["2606:4700::1111", "::1"],
    "xn--bcher-kva.example": ["127.0.0.1"],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "127.0.0.1.": [
        "127.0.0.1"
    ],  # getaddrinfo takes it for a name; what a resolver makes of it is the resolver's choice
    "public.example": ["1.1.1.1"],
}
"""What DNS says in the tests."""

BY_NAME = (
    *(f"http://{name}:{{port}}/" for name in NAMES if name != "public.example"),
    "http://bücher.example:{port}/",
    "http://PRIVATE.Example:{port}/",
)

HOSTILE = LOOPBACK + ODD_SPELLINGS + TWO_PARSERS + WRAPPED + PRIVATE + BY_NAME

REACHABLE_WHEN_ALLOWED = (
    "http://127.0.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.1:{port}/",
    "http://127.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://private.example:{port}/",
    "http://localhost.:{port}/",
)
"""The control: without the guard these do reach the trap."""
