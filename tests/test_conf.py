from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import pytest

from penstock import conf as module
from penstock.conf import SETTINGS, Conf, Setting, markdown
from penstock.errors import SettingError
from penstock.times import Milliseconds, Minutes

USED = [setting for setting in SETTINGS if setting.status == "used"]
ACCEPTED = [setting for setting in SETTINGS if setting.status == "accepted"]


def key_of(setting: Setting[object]) -> str:
    return setting.key


# --------------------------------------------------------------------------------------- the table


def test_the_settings_page_is_what_the_table_says() -> None:
    page = Path(__file__).parent.parent / "docs" / "settings.md"
    assert page.read_text("utf-8") == markdown(), "run: python -m penstock.conf > docs/settings.md"


def test_each_key_has_one_row() -> None:
    keys = [key for setting in SETTINGS for key in (setting.key, setting.old_key) if key]
    assert len(keys) == len(set(keys))


def test_each_key_is_spark_s_or_ours() -> None:
    assert {setting.key.split(".")[0] for setting in SETTINGS} == {"spark", "penstock"}


@pytest.mark.parametrize("setting", SETTINGS, ids=key_of)
def test_a_row_says_what_it_does_and_why(setting: Setting[object]) -> None:
    assert setting.does.endswith(".")
    assert setting.why.endswith(".")


@pytest.mark.parametrize("setting", SETTINGS, ids=key_of)
def test_the_default_as_shown_is_the_default_as_parsed(setting: Setting[object]) -> None:
    if setting.default is not None:
        assert setting.parse(setting.kind.show(setting.default)) == setting.default


@pytest.mark.parametrize("setting", SETTINGS, ids=key_of)
def test_the_example_of_a_message_would_do(setting: Setting[object]) -> None:
    setting.parse(setting.kind.example)


@pytest.mark.parametrize("setting", USED + ACCEPTED, ids=key_of)
def test_setting_a_known_key_is_silent(setting: Setting[object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Conf().set(setting.key, setting.kind.example).contains(setting.key)


@pytest.mark.parametrize("setting", SETTINGS, ids=key_of)
def test_what_is_not_set_has_its_default(setting: Setting[object]) -> None:
    assert Conf().value(setting) == setting.default
    assert Conf().get(setting.key) is None


def test_used_defaults() -> None:
    conf = Conf()
    assert conf.value(module.MASTER) == "local[*]"
    assert conf.value(module.DEFAULT_PARALLELISM) is None
    assert conf.value(module.STOP_CONTEXT_BY_DEFAULT) is True
    assert conf.value(module.STOP_GRACEFULLY_ON_SHUTDOWN) is False
    assert conf.value(module.GRACEFUL_STOP_TIMEOUT) is None
    assert conf.value(module.UNPERSIST) is True
    assert conf.value(module.MIN_REMEMBER_DURATION) == 60_000
    assert conf.value(module.EXTRA_LISTENERS) == ()
    assert conf.value(module.SPLIT_BYTES) == 32 * 1024 * 1024
    assert conf.value(module.INLINE_ROWS) == 1000


# -------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("60s", 60_000),
        ("200ms", 200),
        ("1min", 60_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("5000us", 5),
        ("1.5s", 1500),
        (" 7 S ", 7000),
        ("0", 0),
    ],
)
def test_durations_take_units(text: str, duration_ms: int) -> None:
    conf = Conf().set(module.GRACEFUL_STOP_TIMEOUT.key, text)
    assert conf.value(module.GRACEFUL_STOP_TIMEOUT) == duration_ms


def test_a_plain_number_is_in_the_unit_that_spark_has_for_the_key() -> None:
    conf = Conf().set(module.GRACEFUL_STOP_TIMEOUT.key, 30).set(module.MIN_REMEMBER_DURATION.key, 30)
    assert conf.value(module.GRACEFUL_STOP_TIMEOUT) == 30
    assert conf.value(module.MIN_REMEMBER_DURATION) == 30_000


def test_a_duration_object_is_itself() -> None:
    for duration in (Minutes(1), Milliseconds(200), Milliseconds(1500)):
        conf = Conf().set(module.GRACEFUL_STOP_TIMEOUT.key, duration)
        assert conf.value(module.GRACEFUL_STOP_TIMEOUT) == duration.milliseconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 week", "0.1us", "1.0001s", "1e3", "nan", "60s 1ms"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="whole milliseconds"):
        Conf().set(module.GRACEFUL_STOP_TIMEOUT.key, text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("32m", 32 << 20),
        ("1g", 1 << 30),
        ("8K", 8192),
        ("8kb", 8192),
        ("77", 77),
        ("77b", 77),
        ("1 t", 1 << 40),
    ],
)
def test_sizes_take_units(text: str, size_bytes: int) -> None:
    assert Conf().set(module.SPLIT_BYTES.key, text).value(module.SPLIT_BYTES) == size_bytes


@pytest.mark.parametrize("text", ["0", "-1", "1.5m", "m", "1x", "1mib", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="positive whole number"):
        Conf().set(module.SPLIT_BYTES.key, text)


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "none"])
def test_a_rate_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"minRate.*must be a number"):
        Conf().set("spark.streaming.backpressure.pid.minRate", text)


def test_flags_are_true_or_false_in_any_case_and_from_python() -> None:
    for value in (True, "True", "true", "TRUE"):
        conf = Conf().set(module.STOP_GRACEFULLY_ON_SHUTDOWN.key, value)
        assert conf.value(module.STOP_GRACEFULLY_ON_SHUTDOWN) is True
    with pytest.raises(SettingError, match="true or false"):
        Conf().set(module.STOP_GRACEFULLY_ON_SHUTDOWN.key, "yes")


def test_names_are_separated_by_commas() -> None:
    conf = Conf().set(module.EXTRA_LISTENERS.key, "app.First, app.Second,")
    assert conf.value(module.EXTRA_LISTENERS) == ("app.First", "app.Second")


def test_a_value_of_the_wrong_type_names_key_value_rule_and_a_way_out() -> None:
    with pytest.raises(SettingError) as caught:
        Conf().set("spark.default.parallelism", "four")
    assert str(caught.value) == (
        "spark.default.parallelism = 'four': must be a whole number, 1 or more. "
        "Hint: a value that would do is 8."
    )


def test_more_than_one_concurrent_job_is_refused_with_the_reason() -> None:
    Conf().set("spark.streaming.concurrentJobs", 1)
    with pytest.raises(
        SettingError, match="can only be 1: batches, and the outputs of a batch, run in order"
    ):
        Conf().set("spark.streaming.concurrentJobs", 2)


def test_an_old_name_counts_and_the_new_one_counts_more() -> None:
    conf = Conf().set("spark.streaming.minRememberDuration", "5s")
    assert conf.value(module.MIN_REMEMBER_DURATION) == 5000
    conf.set("spark.streaming.fileStream.minRememberDuration", "7s")
    assert conf.value(module.MIN_REMEMBER_DURATION) == 7000


# ---------------------------------------------------------------------------------------- the keys


def test_an_unknown_key_of_ours_is_an_error_with_the_nearest_match() -> None:
    with pytest.raises(SettingError, match=r"did you mean penstock\.files\.splitBytes\?"):
        Conf().set("penstock.file.splitbytes", "1m")
    with pytest.raises(SettingError, match=r"penstock\.files\.splitBytes, .*penstock\.local\.inlineRows"):
        Conf().set("penstock.????????????????", "1m")


@pytest.mark.parametrize("key", ["spark.executor.memory", "spark.streaming.nonsense", "app.colour", "x"])
def test_other_keys_are_kept_in_silence(key: str) -> None:
    assert Conf().set(key, 7).get(key) == "7"


def test_a_refused_value_leaves_the_settings_as_they_were() -> None:
    conf = Conf().set("penstock.local.inlineRows", 10)
    for value in ("none", None):
        with pytest.raises(SettingError, match=r"penstock\.local\.inlineRows"):
            conf.set("penstock.local.inlineRows", value)
    assert conf.getAll() == [("penstock.local.inlineRows", "10")]


# -------------------------------------------------------------------------------------- SparkConf


def test_it_is_used_as_sparkconf_is() -> None:
    conf = (
        Conf(loadDefaults=False)
        .setMaster("local[2]")
        .setAppName("orders")
        .setSparkHome("/opt/spark")
        .set("a", 1)
        .setIfMissing("a", 2)
        .setIfMissing("b", True)
        .setAll([("c", 3.5), ("d", "x")])
        .setExecutorEnv("HOME", "/tmp")
        .setExecutorEnv(pairs=[("X", 1), ("Y", 2)])
    )
    assert conf.getAll() == [
        ("spark.master", "local[2]"),
        ("spark.app.name", "orders"),
        ("spark.home", "/opt/spark"),
        ("a", "1"),
        ("b", "True"),
        ("c", "3.5"),
        ("d", "x"),
        ("spark.executorEnv.HOME", "/tmp"),
        ("spark.executorEnv.X", "1"),
        ("spark.executorEnv.Y", "2"),
    ]
    assert conf.get("a") == "1"
    assert conf.get("z") is None
    assert conf.get("z", "fallback") == "fallback"
    assert conf.contains("a")
    assert not conf.contains("z")
    assert not conf.remove("a").remove("a").contains("a")


def test_executor_environment_is_one_pair_or_a_list() -> None:
    with pytest.raises(SettingError, match="either"):
        Conf().setExecutorEnv()
    with pytest.raises(SettingError, match="either"):
        Conf().setExecutorEnv("a", "b", pairs=[("c", "d")])


def test_the_debug_string_is_sorted() -> None:
    assert Conf().set("b", 1).set("a", 2).toDebugString() == "a=2\nb=1"


def test_a_copy_is_on_its_own() -> None:
    conf = Conf().set("a", 1)
    for other in (conf.copy(), conf.clone(), pickle.loads(pickle.dumps(conf))):
        assert other.set("a", 2).get("a") == "2"
    assert conf.get("a") == "1"


def test_nothing_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_MASTER", "spark://elsewhere")
    assert Conf().getAll() == []
