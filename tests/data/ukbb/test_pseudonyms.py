import hashlib
import hmac

import pandas as pd
import pytest

from dymo_med.data.ukbb import Pseudonymizer


def test_pseudonym_is_the_keyed_hash(tmp_path):
    key = tmp_path / "secret" / "key"
    pseudonym = Pseudonymizer(key)("9000001")
    secret = bytes.fromhex(key.read_text().strip())
    assert pseudonym == "S" + hmac.new(secret, b"9000001", hashlib.sha256).hexdigest()[:16]
    assert "9000001" not in pseudonym


def test_key_is_private_and_kept(tmp_path):
    key = tmp_path / "key"
    first = Pseudonymizer(key)("9000001")
    content = key.read_text()
    assert key.stat().st_mode & 0o777 == 0o600
    assert Pseudonymizer(key)("9000001") == first
    assert key.read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_another_key_gives_other_pseudonyms(tmp_path):
    assert Pseudonymizer(tmp_path / "a")("9000001") != Pseudonymizer(tmp_path / "b")("9000001")


def test_numbers_read_as_floats_are_the_same_id(tmp_path):
    pseudonymizer = Pseudonymizer(tmp_path / "key")
    column = pseudonymizer.many(pd.Series(["9000001", " 9000001 ", "9000001.0", None]))
    assert column[0] == column[1] == column[2]
    assert pd.isna(column[3])
    assert pseudonymizer.many(pd.Series([9000001.0]))[0] == column[0]
    assert pseudonymizer.many(pd.Series([9000001]))[0] == column[0]


def test_key_that_others_may_read_is_refused(tmp_path):
    key = tmp_path / "key"
    Pseudonymizer(key)
    key.chmod(0o644)
    with pytest.raises(PermissionError, match="key has mode 644: run 'chmod 600'"):
        Pseudonymizer(key)


def test_file_without_a_key_is_refused(tmp_path):
    key = tmp_path / "key"
    key.write_text("password")
    key.chmod(0o600)
    with pytest.raises(ValueError, match="64 hexadecimal digits, however: key holds 8 characters"):
        Pseudonymizer(key)
