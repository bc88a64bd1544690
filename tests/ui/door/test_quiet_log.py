import logging

from apt_core.ui.door.quiet_log import Once, quieten


def test_what_repeats_is_said_once_and_counted(caplog):
    logger = logging.getLogger("a.loud.one")
    once = Once(seconds=60)
    logger.addFilter(once)
    try:
        for number in range(1000):
            logger.error("too many files: %d", number)
        assert [record.getMessage() for record in caplog.records] == ["too many files: 0"]
        once._seconds = 0.0
        logger.error("too many files: %d", 1)
    finally:
        logger.removeFilter(once)
    assert "another line" not in caplog.text and len(caplog.records) == 2


def test_the_count_is_said_when_it_is_said_again(caplog):
    logger = logging.getLogger("a.loud.two")
    once = Once(seconds=60)
    logger.addFilter(once)
    for number in range(3):
        if number == 2:
            once._seconds = 0.0
        logger.error("again")
    logger.removeFilter(once)
    assert [record.getMessage() for record in caplog.records] == ["again", "again (and 1 more times)"]


def test_a_few_are_said_before_it_is_quiet(caplog):
    logger = logging.getLogger("a.loud.four")
    few = Once(seconds=60, burst=3)
    logger.addFilter(few)
    for number in range(10):
        if number == 9:
            few._seconds = 0.0
        logger.error("run %d", number)
    logger.removeFilter(few)
    assert [record.getMessage() for record in caplog.records] == [
        "run 0",
        "run 1",
        "run 2",
        "run 9 (and 6 more times)",
    ]


def test_other_messages_are_not_held_back(caplog):
    logger = logging.getLogger("a.loud.three")
    quieten("a.loud.three")
    quieten("a.loud.three")
    assert sum(isinstance(each, Once) for each in logger.filters) == 1
    logger.error("one")
    logger.error("two")
    assert len(caplog.records) == 2
