"""Docstrings of an installed package as JSONL, one document each: docstrings.py PACKAGE FOLDER
Every 20th by its hash goes to held.jsonl, the others to train.jsonl."""
import ast, hashlib, importlib.util, json, pathlib, sys

package, folder = sys.argv[1], pathlib.Path(sys.argv[2])
root = pathlib.Path(importlib.util.find_spec(package).origin).parent
folder.mkdir(parents=True, exist_ok=True)
seen, counts = set(), [0, 0]
with open(folder / "train.jsonl", "w") as train, open(folder / "held.jsonl", "w") as held:
    for path in sorted(root.rglob("*.py")):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                continue
            text = ast.get_docstring(node)
            if not text or len(text) < 300 or text in seen:
                continue
            seen.add(text)
            apart = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 20 == 0
            (held if apart else train).write(json.dumps({"text": text}) + "\n")
            counts[apart] += 1
print(f"{counts[0]} documents to train on, {counts[1]} held out")
