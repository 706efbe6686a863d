#!/usr/bin/env python3
"""embed.py INPUT OUTPUT NAME - a file as a C array, for programs that carry it.

OUTPUT defines `const char NAME[]` (NUL-terminated) and `const size_t NAME_bytes`
(without the NUL).
"""
import pathlib, sys

source, target, name = sys.argv[1:]
data = pathlib.Path(source).read_bytes()
rows = [", ".join(f"'\\x{byte:02x}'" for byte in data[at:at + 12]) for at in range(0, len(data), 12)]
pathlib.Path(target).write_text(
    f"/* Made from {pathlib.Path(source).name} by tools/embed.py. */\n"
    "#include <stddef.h>\n\n"
    f"extern const char {name}[];\nextern const size_t {name}_bytes;\n\n"
    f"const char {name}[] = {{\n" + "".join(f"\t{row},\n" for row in rows) + "\t'\\0'};\n"
    f"const size_t {name}_bytes = {len(data)};\n")
