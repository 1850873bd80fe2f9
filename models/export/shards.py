"""What both tools for weights in shards do: choose the files, write the index, print the keys for model.toml."""
import hashlib
import json

INDEX = "model.safetensors.index.json"


def split(sizes, megabytes):
    """The names of the tensors in each file, none larger than so many megabytes unless it holds one tensor alone."""
    groups, room = [], 0
    for name, size in sizes.items():
        if not groups or size > room:
            groups.append([])
            room = int(megabytes * 1e6)
        groups[-1].append(name)
        room -= size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{place:05d}-of-{len(groups):05d}.safetensors": names for place, names in enumerate(groups, 1)}


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finish(folder, model, files):
    """Writes the index if there are several files, and prints the keys for model.toml."""
    weights = list(files)
    if len(files) > 1:
        index = {"metadata": {}, "weight_map": {name: file for file, names in files.items() for name in names}}
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")
        weights.insert(0, INDEX)
    print(f'file = "{model.name}"\nsha256 = "{sha256(model)}"\n')
    print(f'[weights]\nfile = "{weights[0]}"\n\n[weights.sha256]')
    for file in weights:
        # safetensors makes files that only their owner can read.
        (folder / file).chmod(0o644)
        print(f'"{file}" = "{sha256(folder / file)}"')
