"""Word problems of one step, GSM8K's kind at its easiest, as lines of `id`, `question`, `answer`: one_step.py FOLDER
600 to practise and 60 to ask, none of them in both."""
import json, pathlib, random, sys

NAMES = "Ana Ben Carla Dan Emma Farid Grace Hugo Ines Jamal Kate Leo Maria Nina Omar Priya Rosa Sam Tara Yuki".split()
THINGS = "apples books coins marbles pencils stickers cards shells buttons cookies eggs stamps".split()
KINDS = [
    (lambda r: (r.randint(3, 40), r.randint(2, 20)), lambda a, b: a + b,
     "{name} has {a} {things}. A friend gives {name} {b} more. How many {things} does {name} have now?"),
    (lambda r: (r.randint(12, 50), r.randint(2, 11)), lambda a, b: a - b,
     "{name} has {a} {things} and gives away {b} of them. How many {things} are left?"),
    (lambda r: (r.randint(2, 9), r.randint(3, 10)), lambda a, b: a * b,
     "{name} buys {a} boxes with {b} {things} in each. How many {things} does {name} buy?"),
    (lambda r: (r.randint(5, 30), r.randint(5, 30)), lambda a, b: a + b,
     "There are {a} {things} on one table and {b} on another. How many {things} are there?"),
]

draw, seen, lines = random.Random(0), set(), []
while len(lines) < 660:
    numbers, answer, text = draw.choice(KINDS)
    a, b = numbers(draw)
    question = text.format(a=a, b=b, name=draw.choice(NAMES), things=draw.choice(THINGS))
    if question not in seen:
        seen.add(question)
        lines.append(json.dumps({"id": f"one-step-{len(lines):03}", "question": question, "answer": str(answer(a, b))}) + "\n")
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
(folder / "one-step-practice.jsonl").write_text("".join(lines[60:]))
(folder / "one-step-asked.jsonl").write_text("".join(lines[:60]))
print(f"{len(lines) - 60} to practise, 60 to ask")
