"""A chat worker without models: answers every question from one sentence; a question may tell it to misbehave."""

import json
import sys
import time

SENTENCE = "Standard delivery takes 3 days."


def say(**message: object) -> None:
    """One line of the protocol."""
    print(json.dumps(message), flush=True)


def answer(arm: str, question: str) -> dict[str, object]:
    """An answer in the form of `dataclasses.asdict(Answer)`."""
    text = f"Ahoy from the workshop! {SENTENCE[:-1]} [1]. Fair winds" if arm == "tuned/rag" else f"{SENTENCE[:-1]} [1]."
    start, end, marker = text.index("Standard"), text.index("].") + 2, text.index("[1]")
    passage = {"id": "p", "doc_id": "d", "source": "delivery.md", "text": f"Note. {SENTENCE}", "start": 100, "end": 137,
               "heading": "Delivery > Times", "page": None}  # fmt: skip
    claim = {"text": text[start:end], "start": start, "end": end, "verdict": "supported", "passage_id": "p"}
    citation = {"start": marker, "end": marker + 3, "passage_id": "p", "evidence_start": 106, "evidence_end": 137}
    return {
        "id": "a", "question": {"text": question}, "text": text, "claims": [claim], "citations": [citation],
        "hits": [{"passage": passage, "score": 0.8, "ranks": {}, "best": [[6, 37]]}], "refused": False,
    }  # fmt: skip


def main() -> None:
    """Serve until the input ends."""
    if "--broken" in sys.argv:
        sys.exit("ModelError: the starter model is not there")
    print("loading weights…", flush=True)  # noise that a library may print: not protocol
    say(event="ready")
    for line in sys.stdin:
        request = json.loads(line)
        if "die" in request["question"]:
            sys.exit("out of memory")
        if "silence" in request["question"]:
            time.sleep(60)
        if "refuse" in request["question"] and request["arm"] == "base/rag":
            say(id=request["id"], event="error", message="no such arm")
            continue
        done = answer(request["arm"], request["question"])
        if "history" in request["question"]:
            done["text"] = json.dumps(request["history"])
        for word in str(done["text"]).split(" "):
            say(id=request["id"], event="piece", text=word + " ")
            time.sleep(0.01)
        say(id=request["id"], event="answer", answer=done)


if __name__ == "__main__":
    main()
