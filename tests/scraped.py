"""What Prometheus reads."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, frozenset[tuple[str, str]]]


class Scraped(dict[Key, float]):
    """`scraped("name", label="value")`; 0 for what is not there."""

    text = ""

    def __call__(self, name: str, **labels: str) -> float:
        return self.get((name, frozenset(labels.items())), 0.0)

    def of(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Every series of this name, by its labels."""
        return {labels: value for (each, labels), value in self.items() if each == name}


def parsed(text: str) -> Scraped:
    """The samples of one exposition."""
    found = Scraped(
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )
    found.text = text
    return found


async def scrape(port: int) -> Scraped:
    """As Prometheus does."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return parsed(answer.text)
