"""Workspaces, users and keys from the command line, on both databases."""

import json
import re

from tests.cli.conftest import Gradbook


def test_people_and_what_opens_the_door(gradbook: Gradbook) -> None:
    assert "There is no owner yet" in gradbook.refused("key", "create", "laptop")
    gradbook.ok("migrate")
    assert [row[1] for row in gradbook.ok("workspace", "list").rows] == ["default"]

    # Who is not an owner belongs somewhere: without a word, to the only workspace.
    assert re.fullmatch(r"User 'ann' was made, an ANNOTATOR \(usr_\d+\)\.\n", gradbook.ok("user", "add", "ann").out)
    gradbook.ok("user", "add", "boss", "--role", "owner")
    assert [row[1:3] for row in gradbook.ok("user", "list").rows] == [["ann", "ANNOTATOR"], ["boss", "OWNER"]]
    assert gradbook.refused("user", "add", "ann") == "username: The username 'ann' is taken."

    made = gradbook.ok("key", "create", "laptop").out
    secret = made.splitlines()[-1]
    assert re.fullmatch(r"gb_[\w-]{43}", secret)
    assert "Key 'laptop' of 'boss'" in made
    assert "of 'ann'" in gradbook.ok("key", "create", "laptop", "--user", "ann").out
    keys = gradbook.ok("key", "list")
    assert [[row[1], row[3], row[5]] for row in keys.rows] == [["laptop", "boss", "valid"], ["laptop", "ann", "valid"]]
    assert secret[:10] in keys.out
    assert secret not in keys.out

    said = gradbook.refused("key", "revoke", "laptop")
    assert said.startswith("2 keys are called 'laptop': name one by its id: key_")
    gradbook.ok("key", "revoke", keys.rows[0][0])
    gradbook.ok("key", "revoke", "laptop")
    assert [row[5].split()[0] for row in gradbook.ok("key", "list").rows] == ["revoked", "revoked"]
    assert "There is no key 'laptop'" in gradbook.refused("key", "revoke", "laptop")


def test_several_workspaces_have_to_be_named(gradbook: Gradbook) -> None:
    gradbook.ok("workspace", "add", "here")
    gradbook.ok("workspace", "add", "there")
    assert gradbook.refused("workspace", "add", "here") == "name: There is a workspace 'here' already."
    said = gradbook.refused("user", "add", "ann")
    assert said == "Say by --workspace which is meant: there is 'here', 'there'."
    assert "There is no workspace 'nowhere'; there is" in gradbook.refused(
        "user", "add", "ann", "--workspace", "nowhere"
    )
    gradbook.ok("user", "add", "ann", "--role", "admin", "--workspace", "there", "--workspace", "here")
    assert gradbook.ok("user", "list").rows[0][1:3] == ["ann", "ADMIN"]


def test_passwords_and_removal(gradbook: Gradbook) -> None:
    gradbook.ok("migrate")
    gradbook.ok("user", "add", "boss", "--role", "owner")
    gradbook.ok("user", "add", "ann")
    assert "use at least 8" in gradbook.refused("user", "passwd", "ann", stdin="short\n")
    assert "There is no user 'nobody'" in gradbook.refused("user", "passwd", "nobody", stdin="long enough\n")
    gradbook.ok("user", "passwd", "ann", stdin="long enough\n")

    assert gradbook.run("user", "remove", "ann").code == 2  # what becomes of the responses must be said
    assert (
        gradbook.ok("user", "remove", "ann", "--responses", "delete").out
        == "User 'ann' was removed, with 0 responses.\n"
    )
    assert "There is no user 'ann'; there is 'boss'." in gradbook.refused(
        "user", "remove", "ann", "--responses", "keep"
    )
    assert "the only OWNER" in gradbook.refused("user", "remove", "boss", "--responses", "keep")
    assert [row[1] for row in gradbook.ok("user", "list").rows] == ["boss"]


def test_the_statuses_follow_a_user_who_is_removed(gradbook: Gradbook) -> None:
    gradbook.ok("workspace", "add", "default")
    answers = [{"user": name, "values": {"comment": "good"}, "status": "SUBMITTED"} for name in ("ann", "ben")]
    lines = [{"externalId": str(n), "fields": {"text": "a"}, "responses": answers} for n in range(3)]
    (gradbook.folder / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    gradbook.ok("import", "some.jsonl", "--dataset", "d", "--create-users")
    removed = gradbook.ok("user", "remove", "ann", "--responses", "delete").out
    assert removed == "User 'ann' was removed, with 3 responses.\n"
    assert gradbook.ok("user", "remove", "ben", "--responses", "keep").out == "User 'ben' was removed.\n"
    for line in gradbook.ok("export", "--dataset", "d").out.splitlines():
        (kept,) = json.loads(line)["responses"]
        assert re.fullmatch(r"deleted-\d+", kept["user"])
    gradbook.ok("verify")


def test_a_link_signs_in_once_within_its_hours(gradbook: Gradbook) -> None:
    gradbook.ok("migrate")
    gradbook.ok("user", "add", "ann")
    for options, said in (((), "an hour"), (("--hours", "168"), "168 hours"), (("--hours", "0.01"), "0.01 hours")):
        first, link = gradbook.ok("user", "link", "ann", *options).out.splitlines()
        assert first == f"This link signs 'ann' in, once, within {said}:"
        assert re.fullmatch(r"http://127\.0\.0\.1:8000/sign-in#gbl_[\w-]{43}", link)
    for hours in ("0", "-1", "168.1", "nan", "inf", "long"):
        refused = gradbook.run("user", "link", "ann", "--hours", hours)
        assert (refused.code, refused.out) == (2, ""), hours
        assert "--hours" in refused.err
    assert "There is no user 'nobody'" in gradbook.refused("user", "link", "nobody")


def test_the_audit_log_is_shown(gradbook: Gradbook) -> None:
    gradbook.ok("migrate")
    gradbook.ok("user", "add", "boss", "--role", "owner")
    secret = gradbook.ok("key", "create", "laptop").out.splitlines()[-1]
    shown = gradbook.ok("audit")
    told = [row[1:3] for row in shown.rows]
    assert told == [["operator", action] for action in ("WORKSPACE_CREATED", "USER_CREATED", "KEY_CREATED")]
    assert secret[:10] not in shown.out
    [last] = gradbook.ok("audit", "--last", "1", "--json").out.splitlines()
    event = json.loads(last)
    assert (event["action"], event["subject_name"], event["door"]) == ("KEY_CREATED", "laptop", "COMMAND")
