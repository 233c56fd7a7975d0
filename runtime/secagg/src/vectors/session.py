"""A whole session with fixed randomness, computed from the papers and the modules' documentation, without this crate's code.

Python's standard library, and the package `cryptography` for P-256, AES and AES-SIV; everything else is written out
here, Shamir, HKDF, packing and CBOR (RFC 8949) included. Writes session.json beside itself; the crate's tests read that.
"""

import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

DOMAIN = "veilflow/secagg/v1/"
# Of the group of P-256 (FIPS 186-5).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def fields(*parts):
    """Each preceded by its length; text is UTF-8, numbers are 8 bytes."""
    out = b""
    for part in parts:
        if isinstance(part, str):
            part = part.encode()
        elif isinstance(part, int):
            part = part.to_bytes(8, "big")
        out += len(part).to_bytes(8, "big") + part
    return out


def transcript(domain, *parts):
    return fields(DOMAIN + domain, *parts)


def sha(data):
    return hashlib.sha256(data).digest()


def hkdf(secret, info, length):
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        out, counter = out + block, counter + 1
    return out[:length]


def cbor(value):
    """RFC 8949, in the shortest form; maps keep their order."""

    def head(major, number):
        for info, size in ((None, 0), (24, 1), (25, 2), (26, 4), (27, 8)):
            if info is None:
                if number < 24:
                    return bytes([major << 5 | number])
            elif number < 1 << 8 * size:
                return bytes([major << 5 | info]) + number.to_bytes(size, "big")
        raise ValueError(number)

    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())


class Blocks:
    """The crate's test generator: block i is SHA-256 of domain, seed and i."""

    def __init__(self, seed):
        self.seed, self.next = seed, 0

    def __call__(self):
        block = sha(fields("veilflow/secagg/test-generator", self.seed, self.next))
        self.next += 1
        return block


class Key:
    def __init__(self, scalar):
        self.scalar = scalar
        self.key = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
        self.public = self.encoded(serialization.PublicFormat.CompressedPoint)
        self.advertised = self.encoded(serialization.PublicFormat.UncompressedPoint)

    def encoded(self, form):
        return self.key.public_key().public_bytes(serialization.Encoding.X962, form)

    def agree(self, public):
        other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        return self.key.exchange(ec.ECDH(), other)

    def sign(self, statement):
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = utils.decode_dss_signature(self.key.sign(statement, algorithm))
        # Of s and -s the one whose point has an even y, so that others can look at many signatures together.
        d, e = int.from_bytes(self.scalar, "big"), int.from_bytes(hashlib.sha256(statement).digest(), "big")
        nonce = (e + r * d) * pow(s, -1, ORDER) % ORDER
        if ec.derive_private_key(nonce, ec.SECP256R1()).public_key().public_numbers().y % 2:
            s = ORDER - s
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def times(a, b):
    """In GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def over(a, b):
    return next(times(a, c) for c in range(256) if times(b, c) == 1)


def interpolate(points, x):
    """The value at x of the polynomial through the points, byte by byte (Lagrange)."""
    out = bytearray(32)
    for i, (xi, yi) in enumerate(points):
        factor = 1
        for j, (xj, _) in enumerate(points):
            if i != j:
                factor = times(factor, over(x ^ xj, xi ^ xj))
        for k in range(32):
            out[k] ^= times(factor, yi[k])
    return bytes(out)


def split(secret, count, threshold, random):
    points = [(0, secret)] + [(x, random()) for x in range(1, threshold)]
    return [dict(points).get(x) or interpolate(points, x) for x in range(1, count + 1)]


def keystream(key, entries):
    encryptor = Cipher(algorithms.AES(key[:16]), modes.CTR(key[16:])).encryptor()
    return struct.unpack(f"<{entries}I", encryptor.update(bytes(4 * entries)))


def join(left, right):
    return sha(transcript("tree-node", left, right))


def levels(leaves):
    out = [leaves]
    while len(out[-1]) > 1:
        nodes = out[-1]
        pairs = [nodes[i : i + 2] for i in range(0, len(nodes), 2)]
        out.append([join(*pair) if len(pair) == 2 else pair[0] for pair in pairs])
    return out


def path(leaves, at):
    siblings = []
    for nodes in levels(leaves)[:-1]:
        if at ^ 1 < len(nodes):
            siblings.append(nodes[at ^ 1])
        at //= 2
    return siblings


# The session.

NAMES = ["Bengaluru", "Chicago", "Leuven", "Nairobi", "Portland", "Zürich"]
DROPS = "Nairobi"  # between rounds 1 and 2
ID, ROUND, ATTEMPT = bytes(range(32)), 7, 2
CLIENTS, SHARES, THRESHOLD = 6, 4, 3
MAX_WEIGHT, CLIPPING, RANGE, MODULUS, MIN_COHORT = 4, 8.0, 65537, 1 << 32, 3
COLLUDERS, DROPOUTS, ADVERSARIES = 0.0, 0.0, 0.0
MODEL = [0.5, -1.5]
# Weight, scalar, vector. In steps all of them are whole numbers, which rounding leaves as they are.
INPUTS = {
    "Bengaluru": (1, 0.25, [1.0, -2.0, 3.5]),
    "Chicago": (2, 0.5, [0.0, 7.75, -8.0]),
    "Leuven": (4, 1.0, [9.0, -0.125, 0.5]),
    "Nairobi": (3, 2.0, [1.0, 1.0, 1.0]),
    "Portland": (3, 0.75, [-9.5, -100.0, 2.25]),
    "Zürich": (1, 0.125, [4.0, 0.0, -0.25]),
}
HALF = (RANGE - 1) // 2
BITS = (CLIENTS * max(RANGE, MAX_WEIGHT + 1) - 1).bit_length()
ENTRIES = 6

SESSION = (ID, ROUND, ATTEMPT)
session = {"id": ID, "round": ROUND, "attempt": ATTEMPT}
random = Blocks(1)
messages = []


def sent(kind, name, message):
    data = cbor(message)
    messages.append({"kind": kind, "name": name, "bytes": len(data), "sha256": sha(data).hex()})
    return message


def bits(number):
    return struct.unpack(">Q", struct.pack(">d", number))[0]


parameters = sha(
    transcript(
        "parameters", "malicious", bits(ADVERSARIES), "count", THRESHOLD, "count", SHARES, bits(COLLUDERS),
        bits(DROPOUTS), MAX_WEIGHT, bits(CLIPPING), RANGE, MODULUS.to_bytes(16, "big"), MIN_COHORT,
    )
)
plan = sha(transcript("plan", parameters, CLIENTS, SHARES, THRESHOLD, 1, 3))
model = sha(fields(DOMAIN + "model-f32") + b"".join(struct.pack("<f", value) for value in MODEL))
identity = {name: Key(sha(b"identity of " + name.encode())) for name in NAMES}

# Round 0.
sealing, masking, r, advertised = {}, {}, {}, {}
for name in NAMES:
    # A scalar is drawn as 32 little-endian bytes.
    sealing[name], masking[name], r[name] = Key(random()[::-1]), Key(random()[::-1]), random()
    commitment = sha(transcript("randomness", *SESSION, name, r[name]))
    keys = (sealing[name].public, masking[name].public, commitment)
    statement = transcript("signature/advertise-keys", *SESSION, plan, "client", name, *keys)
    advertised[name] = {
        "session": session, "plan": plan, "sealing_key": keys[0], "masking_key": keys[1], "commitment": keys[2],
        "signature": identity[name].sign(statement),
    }
    sent(
        "advertise-keys", name,
        advertised[name] | {"sealing_key": sealing[name].advertised, "masking_key": masking[name].advertised},
    )
members = [
    {"name": name}
    | {key: advertised[name][key] for key in ("sealing_key", "masking_key", "commitment", "signature")}
    for name in NAMES
]
sent("roster", "", {"session": session, "plan": plan, "members": members})
entries = []
for member in members:
    entries += [member[key] for key in ("sealing_key", "masking_key", "commitment", "name")]
roster = sha(transcript("roster", *SESSION, plan, len(NAMES), *entries))

reveals = {}
for name in NAMES:
    signature = identity[name].sign(transcript("signature/freeze-roster", *SESSION, roster))
    reveals[name] = {"session": session, "randomness": r[name], "signature": signature}
    sent("freeze-roster", name, reveals[name])
sent("frozen-roster", "", {"session": session, "reveals": reveals})
pairs = [part for name in NAMES for part in (name, r[name])]
frozen = sha(transcript("frozen-roster", roster, len(NAMES), *pairs))
ring = sorted(NAMES, key=lambda name: sha(transcript("ring", frozen, name)))


def neighbours(name):
    at = ring.index(name)
    return sorted(ring[(at + distance) % len(ring)] for distance in (-2, -1, 1, 2))


# Round 1.
seed, dealt, share, leaves, dealing = {}, {}, {}, {}, {}
for name in NAMES:
    seed[name] = random()
    parts = {
        "seed": split(seed[name], SHARES, THRESHOLD, random),
        "masking-key": split(masking[name].scalar, SHARES, THRESHOLD, random),
    }
    dealt[name] = {}
    for position, to in enumerate(neighbours(name)):
        sealed, commitments = {}, {}
        for kind in ("seed", "masking-key"):
            opening = parts[kind][position] + random()
            agreed = sealing[name].agree(sealing[to].public)
            key = hkdf(agreed, transcript("sealing-key", *SESSION, name, to, kind), 64)
            purpose = transcript("sealed-share", *SESSION, name, to, kind, frozen)
            sealed[kind] = AESSIV(key).encrypt(opening, [purpose])
            commitments[kind] = sha(transcript("share-commitment", *SESSION, name, to, kind, opening[:32], opening[32:]))
            share[name, to, kind] = opening
        dealt[name][to] = [*sealed.values(), *commitments.values()]
    leaves[name] = [sha(transcript("tree-leaf", to, *dealt[name][to])) for to in neighbours(name)]
    root = levels(leaves[name])[-1][0]
    statement = transcript("signature/share-keys", *SESSION, frozen, name, len(leaves[name]), root)
    dealing[name] = {
        "session": session,
        "seed_commitment": sha(transcript("seed-commitment", *SESSION, name, seed[name])),
        "own_commitment": None,
        "shares": [b"".join(dealt[name][to]) for to in neighbours(name)],
        "signature": identity[name].sign(statement),
    }
    sent("share-keys", name, dealing[name])
for name in NAMES:
    delivery = [
        {
            "sealed": b"".join(dealt[sender][name]),
            "proof": {
                "signature": dealing[sender]["signature"],
                "path": path(leaves[sender], neighbours(sender).index(name)),
            },
        }
        for sender in neighbours(name)
    ]
    sent("shares", name, {"session": session, "shares": delivery})

# Round 2.
binding = sha(transcript("binding", model, plan, frozen))
survivors = [name for name in NAMES if name != DROPS]
plain = [0] * ENTRIES
for name in survivors:
    weight, scalar, vector = INPUTS[name]
    step = weight * HALF / MAX_WEIGHT / CLIPPING
    clipped = sum(abs(value) > CLIPPING for value in vector)
    steps = [max(-CLIPPING, min(CLIPPING, value)) * step for value in [scalar, *vector]]
    assert all(value == int(value) for value in steps)
    entries = [weight, clipped] + [int(value) + HALF for value in steps]
    plain = [total + entry for total, entry in zip(plain, entries)]
    masks = [(1, hkdf(seed[name], transcript("self-mask", *SESSION, name), 32))]
    for other in neighbours(name):
        info = transcript("pair-mask", *SESSION, *sorted([name, other], key=str.encode), binding)
        key = hkdf(masking[name].agree(masking[other].public), info, 32)
        masks.append((1 if name.encode() < other.encode() else -1, key))
    for sign, key in masks:
        entries = [entry + sign * word for entry, word in zip(entries, keystream(key, ENTRIES))]
    packed = sum((entry % (1 << BITS)) << i * BITS for i, entry in enumerate(entries))
    packed = packed.to_bytes((ENTRIES * BITS + 7) // 8, "little")
    sent("masked-input", name, {"session": session, "entries": packed})
sent("survivors", "", {"session": session, "survivors": survivors})

# Round 3.
statement = transcript("signature/consistency-check", *SESSION, binding, len(survivors), *survivors)
words = {name: identity[name].sign(statement) for name in survivors}
for name in survivors:
    sent("consistency-check", name, {"session": session, "signature": words[name]})
sent("signatures", "", {"session": session, "signatures": words})

# Round 4.
for name in survivors:
    shares = {"seeds": [], "masking_keys": []}
    for other in neighbours(name):
        kind = "masking-key" if other == DROPS else "seed"
        shares["masking_keys" if other == DROPS else "seeds"].append(share[other, name, kind])
    sent("unmask", name, {"session": session, **shares})

trees = []
for count in (1, 2, 3, 4, 5, 7, 8):
    leaf = [sha(f"leaf {i}".encode()) for i in range(count)]
    trees.append({"leaves": count, "root": levels(leaf)[-1][0].hex()})

result = {
    "made_how": "Made without this crate's code, by session.py beside this file: Python's standard library, and the "
    "package cryptography for P-256, AES and AES-SIV. Messages are encoded as CBOR (RFC 8949). Randomness is that of "
    "the crate's test generator with seed 1, drawn by the sites in the order of their names.",
    "session_id": ID.hex(), "round": ROUND, "attempt": ATTEMPT,
    "names": NAMES, "drops": DROPS, "model_values": MODEL,
    "identities": {name: identity[name].scalar.hex() for name in NAMES},
    "inputs": {name: {"weight": w, "scalar": s, "vector": v} for name, (w, s, v) in INPUTS.items()},
    "parameters": parameters.hex(), "plan": plan.hex(), "model": model.hex(), "roster": roster.hex(),
    "frozen_roster": frozen.hex(), "binding": binding.hex(), "neighbours": {name: neighbours(name) for name in NAMES},
    "messages": messages, "sum": plain, "trees": trees,
}
target = pathlib.Path(__file__).with_name("session.json")
target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
