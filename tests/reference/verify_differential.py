"""Pairs of gold answers and respelled or altered ones, judged by Math-Verify (pip install math-verify).

    python verify_differential.py BENCHMARK_DIR > ../vectors/verify_differential.jsonl

Respellings keep the value, alterations change it, both by rules that know no mathematics beyond that; Math-Verify is
asked in both directions, since it is not symmetric. The test reviews every pair on which it and the crate differ.
"""

import json
import random
import re
import sys

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

SETS = ["math500", "olympiadbench", "ocw", "asdiv", "gsm8k"]


def respell(rng, s):
    rules = [
        lambda t: t.replace(r"\frac", r"\dfrac"),
        lambda t: t.replace(r"\frac", r"\tfrac"),
        lambda t: re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", t) if t.startswith(r"\frac") else t,
        lambda t: t.replace(" ", ""),
        lambda t: re.sub(r"([-+=,])", r" \1 ", t),
        lambda t: t.replace("(", r"\left(").replace(")", r"\right)") if r"\left" not in t else t,
        lambda t: re.sub(r"\\sqrt\{(\d)\}", r"\\sqrt\1", t),
        lambda t: t.replace(r"^\circ", r"^{\circ}"),
        lambda t: t.replace(r"^\circ", "°"),
        lambda t: t.replace(r"\pi", "π"),
        lambda t: re.sub(r"\^\{(\d)\}", r"^\1", t),
        lambda t: re.sub(r"\^(\d)", r"^{\1}", t),
        lambda t: "x = " + t if re.fullmatch(r"-?\d+", t) else t,
        lambda t: t + ".0" if re.fullmatch(r"-?\d+", t) else t,
        lambda t: t.replace("-", "−") if re.fullmatch(r"-?\d+", t) else t,
        lambda t: re.sub(r"^(\d+) \((.*)\)$", r"\1 \\text{ \2}", t),
        lambda t: re.sub(r"^(\d+) \((.*)\)$", r"\1", t),
        lambda t: t.replace(",", r",\ ") if r"\!" not in t else t,
    ]
    for rule in rng.sample(rules, len(rules)):
        if rule(s) != s:
            return rule(s)
    return None


def alter(rng, s):
    rules = [
        lambda t: re.sub(r"\d", lambda m: str((int(m.group()) + 1) % 10), t, count=1),
        lambda t: re.sub(r"(\d)(?!.*\d)", lambda m: str((int(m.group()) + 3) % 10), t),
        lambda t: t.replace("+", "-", 1),
        lambda t: re.sub(r"(?<=[^(,\[{^ ])\s?-", "+", t, count=1),
        lambda t: "-" + t if re.match(r"[\d\\]", t) and "," not in t and "text" not in t else t,
        lambda t: t.replace("(", "[", 1) if "," in t and t.startswith("(") else t,
        lambda t: t.replace(r"\sqrt", "", 1),
        lambda t: t.replace(r"\pi", "", 1),
        lambda t: re.sub(r"\^\{?2\}?", "^3", t, count=1),
        lambda t: t.replace("sin", "cos", 1),
        lambda t: t.replace("n", "m", 1) if re.fullmatch(r"[-+*/^(){}n\d ]+", t) else t,
    ]
    for rule in rng.sample(rules, len(rules)):
        if rule(s) != s:
            return rule(s)
    return None


def main(folder):
    rng = random.Random(7)
    config = [LatexExtractionConfig(), ExprExtractionConfig()]
    for name in SETS:
        golds = []
        for line in open(f"{folder}/{name}.jsonl"):
            gold = json.loads(line)["answer"]
            gold = gold[1:-1] if re.fullmatch(r"\$[^$]*\$", gold) else gold
            if gold not in golds:
                golds.append(gold)
        plain = [g for g in golds if re.fullmatch(r"-?[\d.]+( \([a-z ]*\))?", g)]
        golds = [g for g in golds if g not in plain]
        golds = rng.sample(golds, min(len(golds), 120)) + rng.sample(plain, min(len(plain), 15))
        for gold in golds:
            for kind, change in [("same", respell), ("altered", alter)]:
                answer = change(rng, gold)
                if answer is None:
                    continue
                verdicts = []
                for a, b in [(gold, answer), (answer, gold)]:
                    try:
                        p, q = (parse(f"${t}$", config) for t in (a, b))
                        verdicts.append(bool(verify(p, q)))
                    except Exception:
                        verdicts.append(None)
                row = {"benchmark": name, "gold": gold, "answer": answer, "kind": kind, "math_verify": verdicts}
                print(json.dumps(row, ensure_ascii=False), flush=True)


main(sys.argv[1])
