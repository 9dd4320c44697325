"""The ledger against a provider's bill: what agrees, what estimates explain, what nobody can explain."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Budget, Cost
from effortctl.stores import MemoryLedger, adjustments, read_bills, reconcile

DAY = dt.date(2026, 11, 20)
NEXT = DAY + dt.timedelta(days=1)
TEAM = Budget(limit_usd=Decimal(100), scope="team", window="day")


class Books:
    """A ledger whose day can be chosen."""

    def __init__(self):
        self.day = DAY
        self.ledger = MemoryLedger(clock=lambda: self.now, reaper_ttl_s=60.0)

    @property
    def now(self):
        return dt.datetime(self.day.year, self.day.month, self.day.day, 12, tzinfo=dt.UTC)

    def book(self, usd, *, model="m", estimated=False):
        ticket = self.ledger.reserve(Decimal(usd), budgets=[TEAM], trace_id="t")
        source = "worst_case" if estimated else "user"
        row = {"model": model, "input_tokens": 10}
        self.ledger.settle(ticket, Cost(usd=Decimal(usd), source=source), row=row)

    def abandon(self, usd):
        """Set money aside, and let the reaper book it for a process that died."""
        self.ledger.reserve(Decimal(usd), budgets=[TEAM], trace_id="t")
        self.day = NEXT
        assert self.ledger.reap() == 1
        self.day = DAY

    def lines(self, bills, **options):
        named = {(DAY, model): Decimal(usd) for model, usd in bills.items()}
        return reconcile(self.ledger.entries(), named, **options)

    def apply(self, bills):
        found = adjustments(self.lines(bills), before=NEXT)
        assert self.ledger.adjust(found) == len(found)
        return found


@pytest.fixture
def books():
    return Books()


@pytest.mark.parametrize(
    "case",  # reported, estimated, billed, status
    [
        ("1.00", "0", "1.00", "equal"),
        ("1.00", "0", "1.004", "equal"),
        ("1.00", "0.50", "1.50", "equal"),
        ("1.00", "0.50", "1.20", "explained"),
        ("1.00", "0.50", "1.00", "explained"),
        ("1.00", "0.50", "1.60", "provider_more"),
        ("1.00", "0.50", "0.90", "provider_less"),
        ("1.00", "0", "0.90", "provider_less"),
        ("0", "0", "0.90", "provider_more"),
    ],
)
def test_a_day_of_a_model_is_equal_explained_or_different(books, case):
    reported, estimated, billed, status = case
    books.book(reported)
    books.book(estimated, estimated=True)
    (line,) = books.lines({"m": billed})
    assert line.status == status
    assert (line.reported_usd, line.estimated_usd) == (Decimal(reported), Decimal(estimated))
    assert line.difference_usd == Decimal(billed) - Decimal(reported) - Decimal(estimated)


def test_a_model_the_bill_never_names_is_left_alone(books):
    """It is most likely another provider's, so its estimates must not be taken for unbilled."""
    books.book("1", model="elsewhere", estimated=True)
    books.book("2", model="m")
    lines = books.lines({"m": "2"})
    assert [(line.model, line.status) for line in lines] == [
        ("elsewhere", "not_billed"),
        ("m", "equal"),
    ]
    assert adjustments(lines, before=NEXT) == []


def test_days_outside_the_bill_are_not_compared(books):
    books.book("1")
    books.day = NEXT
    books.book("5")
    books.day = DAY
    assert [line.day for line in books.lines({"m": "1"})] == [DAY]
    assert books.lines({}) == []


def test_models_are_matched_by_alias_and_without_their_release_date(books):
    books.book("1", model="gpt-6-luna")
    books.book("2", model="gpt-6-luna-mini")
    bills = {"gpt-6-luna-2026-08-01": "1", "LUNA SMALL": "2"}
    lines = books.lines(bills, aliases={"LUNA SMALL": "gpt-6-luna-mini"})
    assert [(line.model, line.status) for line in lines] == [
        ("gpt-6-luna", "equal"),
        ("gpt-6-luna-mini", "equal"),
    ]


def test_an_adjustment_brings_the_books_to_the_bill_and_changes_no_entry(books):
    books.book("1")
    books.book("0.30", estimated=True)
    books.book("0.10", estimated=True)
    before = list(books.ledger.entries())
    found = books.apply({"m": "1.10"})
    assert [each.difference_usd for each in found] == [Decimal("-0.225"), Decimal("-0.075")]
    after = list(books.ledger.entries())
    assert after[:3] == before
    assert {entry.kind for entry in after[3:]} == {"adjustment"}
    assert {entry.price_source for entry in after[3:]} == {"reconciled"}
    assert books.ledger.spent(TEAM) == Decimal("1.10")
    total = books.ledger.totals("model")["m"]
    assert (total.cost_usd, total.estimated_usd) == (Decimal("1.10"), 0)
    assert (total.entries, total.input_tokens) == (3, 30), "an adjustment is no call"
    assert books.ledger.check() == []


def test_applying_twice_changes_nothing(books):
    books.book("1")
    books.book("0.30", estimated=True)
    assert len(books.apply({"m": "1.10"})) == 1
    assert books.apply({"m": "1.10"}) == []
    assert [line.status for line in books.lines({"m": "1.10"})] == ["equal"]


def test_an_estimate_is_not_adjusted_twice_from_one_comparison(books):
    books.book("0.30", estimated=True)
    found = adjustments(books.lines({"m": "0.10"}), before=NEXT)
    books.ledger.adjust(found)
    with pytest.raises(StoreError, match="no estimate to adjust"):
        books.ledger.adjust(found)
    assert books.ledger.spent(TEAM) == Decimal("0.10")


def test_an_unexplained_difference_is_never_booked(books):
    books.book("1")
    books.book("0.30", estimated=True)
    for billed in ("2.00", "0.50"):
        assert books.apply({"m": billed}) == []
    assert books.ledger.spent(TEAM) == Decimal("1.30")


def test_a_day_that_is_not_over_is_compared_but_not_adjusted(books):
    books.book("0.30", estimated=True)
    lines = books.lines({"m": "0.10"})
    assert [line.status for line in lines] == ["explained"]
    assert adjustments(lines, before=DAY) == []


def test_calls_of_dead_processes_explain_a_higher_bill_and_stay_estimated(books):
    books.book("1")
    books.abandon("0.40")
    lines = books.lines({"m": "1.25"})
    assert [(line.model, line.status) for line in lines] == [("?", "unnamed"), ("m", "explained")]
    assert adjustments(lines, before=NEXT) == []
    assert [line.status for line in books.lines({"m": "1.50"})] == ["unnamed", "provider_more"]


def test_a_real_cost_that_arrived_late_is_no_estimate(books):
    ticket = books.ledger.reserve(Decimal("0.40"), budgets=[TEAM], trace_id="t")
    books.day = NEXT
    books.ledger.reap()
    books.ledger.settle(ticket, Cost(usd=Decimal("0.15"), source="user"), row={"model": "m"})
    books.day = DAY
    (line,) = books.lines({"m": "0.15"})
    assert (line.status, line.reported_usd, line.estimated_usd) == ("equal", Decimal("0.15"), 0)


@given(
    reported=st.integers(0, 10**6),
    estimates=st.lists(st.integers(1, 10**6), min_size=1, max_size=7),
    share=st.fractions(0, 1),
)
def test_adjustments_add_up_to_the_bill_to_the_pico_dollar(reported, estimates, share):
    books = Books()
    books.book(Decimal(reported).scaleb(-6))
    for micro in estimates:
        books.book(Decimal(micro).scaleb(-6), estimated=True)
    billed = Decimal(reported).scaleb(-6) + Decimal(int(sum(estimates) * 10**6 * share)).scaleb(-12)
    lines = books.lines({"m": billed}, tolerance_usd=Decimal(0))
    found = adjustments(lines, before=NEXT)
    assert all(each.difference_usd <= 0 for each in found)
    books.ledger.adjust(found)
    assert books.ledger.spent(TEAM) == billed
    assert books.ledger.check() == []


# --- the file ------------------------------------------------------------------------------------------


def write(tmp_path, text):
    path = tmp_path / "bill.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "date,model,cost\n2026-11-20,m,1.25\n",
        "\ufeffDate,Model,Cost_USD\n2026-11-20,m,$1.25\n",
        'start_time,line_item,amount_value,amount_currency\n1795132800,"m, input",1.25,usd\n',
        "created_at,model_permaslug,cost_total\n2026-11-20T23:59:59Z,m,1.25\n",
        'day,model_id,amount\n2026-11-21T01:30:00+02:00,m,"1.25"\n',
        'date,model,cost\n2026-11-20,"m, input",1\n2026-11-20,"m, output",0.25\n',
    ],
)
def test_exports_of_several_shapes_are_read(tmp_path, text):
    assert read_bills(write(tmp_path, text)) == {(DAY, "m"): Decimal("1.25")}


def test_columns_and_rows_can_be_chosen(tmp_path):
    path = write(tmp_path, "when,what,usd,key\n2026-11-20,m,1,a\n2026-11-20,m,2,b\n")
    columns = {"date": "when", "model": "what", "cost": "usd"}
    assert read_bills(path, columns=columns, only={"key": "b"}) == {(DAY, "m"): Decimal(2)}


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("date,model\n2026-11-20,m\n", ConfigError, "no column for the cost"),
        ("", ConfigError, "no column for the date"),
        ("date,model,cost\nsoon,m,1\n", StoreError, "line 2: 'soon' is not a date"),
        ("date,model,cost\n2026-11-20,m,much\n", StoreError, "'much' is not an amount"),
        ("date,model,cost\n2026-11-20,m,NaN\n", StoreError, "is not an amount"),
        ("date,model,cost\n2026-11-20,,1\n", StoreError, "names no model"),
        ("date,model,cost,currency\n2026-11-20,m,1,eur\n", ConfigError, "expected US dollars"),
        ("date,model,cost\n2026-11-20\n", StoreError, "not an amount"),
    ],
)
def test_a_file_that_makes_no_sense_says_where(tmp_path, text, error, says):
    with pytest.raises(error, match=says):
        read_bills(write(tmp_path, text))


@pytest.mark.parametrize(
    "options", [{"columns": {"cost": "no"}}, {"columns": {"colour": "date"}}, {"only": {"no": "x"}}]
)
def test_a_mapping_to_nowhere_is_refused(tmp_path, options):
    path = write(tmp_path, "date,model,cost\n2026-11-20,m,1\n")
    with pytest.raises(ConfigError):
        read_bills(path, **options)


@pytest.mark.parametrize("content", [None, b"date,model,cost\n\xff\xfe,m,1\n"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "bill.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot read"):
        read_bills(path)
