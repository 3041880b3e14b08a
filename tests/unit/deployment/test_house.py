"""The house: its figures are those of a small tree that anyone can count, and what is beyond a bound is named."""

from pathlib import Path

from upkeep import house

TREE = {
    "producer/__init__.py": "",
    "producer/top.py": '"""Docs."""\nfrom producer.rooms.one import a\nfrom producer import bottom\n',
    "producer/rooms/__init__.py": "",
    "producer/rooms/one.py": 'from producer.bottom import b\n\n\ndef a():\n    """Docs."""\n    return b\n',
    "producer/bottom.py": "b = 1\n",
    "docs/glossary.md": "- **relay**: one. **sender**: two.\n",
}


def measured(folder: Path, files: dict[str, str]) -> house.House:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return house.measured(folder)


def test_a_tree_is_counted_by_files_statements_rooms_arrows_and_floors(tmp_path: Path) -> None:
    tree = measured(tmp_path, TREE)

    [producer] = tree.packages
    assert producer.files == {"producer": 2, "producer/rooms": 1}
    assert producer.arrows == {("top", "rooms"), ("top", "bottom"), ("rooms", "bottom")}
    assert (producer.rooms, producer.floors) == (3, 3)
    assert tree.statements == producer.statements == 6, "two imports, an import, a function, its return, an assignment"
    assert producer.function_lines == [3]
    assert tree.terms == 2
    assert not list(tree.faults())


def test_a_circle_of_rooms_ends_the_count_of_floors(tmp_path: Path) -> None:
    [producer] = measured(tmp_path, TREE | {"producer/bottom.py": "from producer import top\nb = 1\n"}).packages

    assert producer.floors == 3


def test_a_folder_of_too_many_files_and_a_glossary_of_too_many_terms_are_named(tmp_path: Path) -> None:
    crowd = {f"producer/rooms/n{number}.py": "" for number in range(house.MOST_FILES)}
    terms = {"docs/glossary.md": "**term** " * (house.MOST_TERMS + 1)}

    faults = list(measured(tmp_path, TREE | crowd | terms).faults())

    assert [fault.split(":")[0] for fault in faults] == [
        "producer/rooms has 15 Python files, more than 14",
        "docs/glossary.md defines 41 terms, more than 40",
    ]
