"""Phrases: what contracts and calls are explained with, in English and Chinese."""

from __future__ import annotations

from typing import Literal

from steelyard.catalogue.items.phrases import ITEM_PHRASES, PERIOD_METERS_ZH
from steelyard.values import meters

Language = Literal["en", "zh"]

_PLACE: dict[Language, int] = {"en": 0, "zh": 1}

PHRASES: dict[str, tuple[str, str]] = ITEM_PHRASES | {
    "title": (
        "{title} ({id}) is the contract of {customer}, in {currency}, in force from {day}.",
        "{title}（{id}）是与 {customer} 的合同，以 {currency} 计价，自 {day} 起生效。",
    ),
    "zone": (
        "Its days and months are those of {zone}.",
        "合同的日期和月份以 {zone} 时间为准。",
    ),
    "afterwards": (
        "Each month is paid within {days} days of its invoice.",
        "按月后付，账单开出后 {days} 天内付款。",
    ),
    "before": (
        "It is paid in advance.",
        "预付费。",
    ),
    "never": (
        "Nothing is paid under it.",
        "本合同不收费。",
    ),
    "credit": (
        "At most {amount} {currency} may be owed.",
        "欠款上限为 {amount} {currency}。",
    ),
    "corrections": (
        "What of an invoice has to be corrected comes on the next one.",
        "需要更正的账单金额计入下一张账单。",
    ),
    "several": (
        "A call has the first of these prices that fits it; a model that none fits is not sold.",
        "每次调用适用下列第一个匹配的价格；没有匹配价格的模型不销售。",
    ),
    "models": ("Models {model}", "模型 {model}"),
    "some_models": ("models {model}", "模型 {model}"),
    "all_of_them": ("all models", "所有模型"),
    "any_model": ("All other models", "其余所有模型"),
    "tier_standard": ("standard calls only", "仅限标准调用"),
    "tier_priority": ("priority calls only", "仅限优先调用"),
    "tier_flex": ("flex calls only", "仅限弹性调用"),
    "tier_batch": ("batch calls only", "仅限批量调用"),
    "region": ("in region {region} only", "仅限地域 {region}"),
    "mode": ("in mode {mode} only", "仅限 {mode} 模式"),
    "booked": ("the list price of {book} on the day of the call", "按调用当日 {book} 的目录价"),
    "discount": ("{prices}, less {percent} %", "{prices}，优惠 {percent}%"),
    "price": ("{head}: {prices}.", "{head}：{prices}。"),
    "per_million": ("{prices} per million tokens", "每百万 token {prices}"),
    "per_unit": ("{meter} {price} each", "{meter}每单位 {price}"),
    "tier": ("{length}: {prices}", "{length}：{prices}"),
    "fallback": (
        (
            "Where they are not named, cached input and cache writes cost what input costs, and "
            "reasoning what output costs."
        ),
        "未列明的缓存输入和缓存写入按输入计价，推理按输出计价。",
    ),
    "whole": (
        "The length of the whole prompt, cached tokens included, chooses one tier for the call.",
        "以整个提示词的长度（含缓存）选择档位，整次调用按该档计价。",
    ),
    "progressive": (
        (
            "Each token of the prompt has the price of the tier that it stands in, cached first; "
            "output has that of the tier in which the prompt ends."
        ),
        "提示词逐 token 分档计价（缓存部分在前）；输出按提示词末尾所在档位计价。",
    ),
    "graduated": (
        (
            "Each unit of a meter has the price of the tier in which it stands among those used "
            "in the {per} by {whose}."
        ),
        "按当{per}{whose}累计用量逐单位分档计价。",
    ),
    "volume": (
        (
            "All units of a meter that {whose} uses in the {per} have the price of the tier that "
            "their sum is in; when it reaches another tier, those before are priced again."
        ),
        "按当{per}{whose}累计用量定档，全部用量按该档计价；进入新档时，此前用量重新计价。",
    ),
    "day": ("day", "日"),
    "week": ("week", "周"),
    "month": ("month", "月"),
    "quarter": ("quarter", "季"),
    "year": ("year", "年"),
    "per_block": (
        "{meter} {price} for each {size} begun in the {per} by {whose}",
        "{meter}按当{per}{whose}每 {size} 单位 {price}（不足按一份计）",
    ),
    "minimum": (
        "A call that would cost less costs {amount}.",
        "单次调用不足 {amount} 的，按 {amount} 收费。",
    ),
    "each_model": ("each model", "各模型"),
    "all_models": ("all these models together", "这些模型合计"),
    "up_to_units": ("up to {tokens}", "不超过 {tokens}"),
    "below_units": ("below {tokens}", "少于 {tokens}"),
    "grant": (
        (
            "{what} are {state}{every} for {models} from {first}{last} ({id}); calls are covered "
            "in the order in which they are booked, and none before that day."
        ),
        (
            "{models}自 {first}{last}起{every}{state} {what}（{id}）；"
            "按入账顺序抵扣，不追溯此前的用量。"
        ),
    ),
    "grant_free": ("free", "免费"),
    "grant_paid": ("paid for in advance", "预付"),
    "grant_calls": ("{size} calls", "{size} 次调用"),
    "grant_credits": ("{size} credits", "{size} 积分"),
    "grant_money": ("{size} {currency} of what is charged", "金额 {size} {currency}"),
    "per_cycle": ("{size} in each month from its day", "每个订阅月 {size}"),
    "per_week": ("{size} in each seven days from its day", "每个订阅周 {size}"),
    "per_hours": ("{size} in any {hours} hours", "任意 {hours} 小时内 {size}"),
    "per_minute": ("{size} of {side} a minute", "每分钟{side} {size}"),
    "side_input": ("input", "输入"),
    "side_output": ("output", "输出"),
    "burn_progressive": (
        (
            "Each token of the prompt counts as in the tier that it stands in, cached first; "
            "output as in the one in which the prompt ends."
        ),
        "提示词逐 token 分档折算（缓存部分在前）；输出按提示词末尾所在档位折算。",
    ),
    "burn_whole": (
        "The length of the whole prompt chooses one tier for the call.",
        "以整个提示词的长度选择档位。",
    ),
    "burns": ("Of {model}, {per} counts as {weights}", "{model}：{per}折合 {weights}"),
    "one_token": ("a token", "每 token "),
    "a_million_tokens": ("a million tokens", "每百万 token "),
    "a_call": ("a call", "每次调用"),
    "all_meters": ("{weight}", "{weight}"),
    "one_meter": ("{weight} of {meter}", "{meter} {weight}"),
    "burn_price": (
        "A token counts by its price: one at {price} {currency} a million counts as one.",
        "token 按单价折算：每百万 {price} {currency} 的计为 1。",
    ),
    "given_rounded": (
        "What a call's tokens of one meter count as is rounded to {step}, half to even.",
        "每次调用每个计量项折算后取整到 {step}，四舍六入五成双。",
    ),
    "calls_whole": (
        "A call is covered whole.",
        "按次抵扣，整次调用不另收费。",
    ),
    "last_charged": (
        "A call that needs more than is left is charged whole.",
        "余量不足以抵扣整次调用时，该次调用全部收费。",
    ),
    "last_covered": (
        "A call that needs more than is left is covered whole, though more is used than there was.",
        "余量不足时，最后一次调用仍全部抵扣，允许超用。",
    ),
    "given_end": (
        "A call is covered only if it has ended before {day}.",
        "仅抵扣在 {day} 前结束的调用。",
    ),
    "given_backdated": (
        "It was given on {day}, and pays for calls before it all the same.",
        "{day} 发放，可抵扣此前的用量。",
    ),
    "not_tier": ("It does not cover {tiers} calls.", "不抵扣 {tiers} 调用。"),
    "not_cached": (
        "Input that is read from a cache is charged at its price.",
        "缓存输入按其价格收费，不抵扣。",
    ),
    "cached_excluded": (
        "A call that reads from a cache is not covered.",
        "命中缓存的调用不抵扣。",
    ),
    "given_of": ("The quotas of {item}", "{item} 的额度"),
    "given_stop": (
        "When it is used up, calls that it is for are refused.",
        "用完即停：额度用尽后拒绝相关调用。",
    ),
    "grant_tokens": ("{size} tokens", "{size} token"),
    "grant_units": ("{size} units of {meter}", "{size} 单位{meter}"),
    "grant_month": (" each month", "每月"),
    "grant_until": (" until the day before {day}", "（至 {day} 前一日）"),
    "order_of_cover": (
        (
            "Of several of these the one of the lowest priority number covers first, then what "
            "was given before what was paid for, then what is there anew each period, then the "
            "one that expires first, then the oldest; money comes last."
        ),
        ("多项额度依次按优先级、先赠后付、先周期额度、到期先后、起始先后抵扣；金额类最后抵扣。"),
    ),
    "up_to": ("up to {tokens} tokens, {tokens} included", "不超过 {tokens} token（含）"),
    "below": ("below {tokens} tokens", "少于 {tokens} token"),
    "above": ("above", "以上"),
    "window": (
        (
            "Prices are multiplied by {factor} {hours}, {days}, by the clock of {zone}; "
            "{by} of the call decides."
        ),
        "{zone} 时间 {days} {hours}，价格乘以 {factor}，以调用{by}时刻为准。",
    ),
    "first_window": (
        "Of several such hours the first that hold are taken.",
        "若有多个时段重合，取第一个。",
    ),
    "no_windows": (
        "At all hours alike, whatever the calendar of the list.",
        "全天同价，不适用目录价的时段规则。",
    ),
    "hours": ("from {first} to {last}", "{first} 至 {last}"),
    "next_day": ("from {first} to {last} on the next day", "{first} 至次日 {last}"),
    "all_day": ("all day", "全天"),
    "every_day": ("every day", "每天"),
    "weekdays": ("Monday to Friday", "周一至周五"),
    "without_holidays": (
        "{days} without public holidays of {country}",
        "{days}（{country}节假日除外）",
    ),
    "with_made_up": ("{days} and days worked instead", "{days}及调休工作日"),
    "start": ("the beginning", "开始"),
    "end": ("the end", "结束"),
    "and": (" and ", "和"),
    "comma": (", ", "、"),
    "semicolon": ("; ", "；"),
    "call": (
        "Call {id} of {when} ({zone}): {outcome}, model {model} at deployment {deployment}.",
        "调用 {id}，{when}（{zone}）：{outcome}，模型 {model}，部署 {deployment}。",
    ),
    "said": ("It was a call of service tier {tier}{more}.", "服务档位 {tier}{more}。"),
    "said_region": (", region {region}", "，地域 {region}"),
    "said_mode": (", mode {mode}", "，模式 {mode}"),
    "version": (
        (
            "Edition {edition} of the documents holds, and of contract {contract} the version from "
            "{day}."
        ),
        "适用文档第 {edition} 版，合同 {contract} 自 {day} 起生效的版本。",
    ),
    "rule": (
        "The first price that fits is number {place}: {model}.",
        "第一个匹配的价格是第 {place} 条：{model}。",
    ),
    "rule_own": ("The contract writes the price itself.", "价格由合同直接约定。"),
    "rule_listed": (
        "The price is that of {book} since {since} ({source}).",
        "价格取自 {book}，自 {since} 起（{source}）。",
    ),
    "no_discount": ("No discount.", "无折扣。"),
    "a_discount": ("{percent} % discount.", "优惠 {percent}%。"),
    "no_calendar": ("The price is the same at all hours.", "全天同价。"),
    "in_window": (
        (
            "At {when} this holds: {window} Discount and factor are multiplied into each "
            "price, which is rounded once."
        ),
        "{when} 适用：{window}折扣与系数一并乘入单价，只取整一次。",
    ),
    "in_no_window": (
        "At {when} none of the hours of its calendar hold.",
        "{when} 不在任何时段规则之内。",
    ),
    "one_tier": ("The price does not depend on the prompt's length.", "价格与提示词长度无关。"),
    "in_tier": (
        "The prompt has {tokens} tokens, so it ends in tier {place} of {count}. {kind}",
        "提示词共 {tokens} token，落在第 {place}/{count} 档。{kind}",
    ),
    "granted": (
        "{units} units of {meter} are covered by {grant}, and cost nothing.",
        "{meter} {units} 单位由 {grant} 抵扣，不收费。",
    ),
    "counts_as": ("They count as {size}.", "折合 {size}。"),
    "credited": (
        "{amount} {currency} of it are paid by {grant}.",
        "其中 {amount} {currency} 由 {grant} 抵扣。",
    ),
    "counted": (
        "What is used in the {per} before this call decides its price; the lines say how it fell.",
        "价格取决于本次调用之前的当{per}用量，结果见下表。",
    ),
    "repriced": (
        (
            "With this call another tier is reached: {units} units of {meter} used before are "
            "taken back at {old}, and charged at {new} for {size}."
        ),
        "本次调用进入新档：此前的{meter} {units} 单位按每 {size} {old} 冲回，改按 {new} 计价。",
    ),
    "at_minimum": (
        "Its own prices come to less than a call costs at least, {amount}: it costs that.",
        "按价目计算低于单次最低收费 {amount}，按最低收费计。",
    ),
    "charges": ("Charged", "收费"),
    "costs": ("Costs", "成本"),
    "unrated": ("It has no price: {reason}.", "没有价格：{reason}。"),
    "tries": (
        "{count} attempts before it made something: a cost, and no charge.",
        "此前有 {count} 次尝试产生了用量：只计成本，不收费。",
    ),
    "corrected": (
        "Corrected by batch {batch}, which adds {amount} {currency}.",
        "由批次 {batch} 更正，增加 {amount} {currency}。",
    ),
    "total": (
        "{amount} {currency} is charged, and is booked in {period}.",
        "共收费 {amount} {currency}，计入 {period}。",
    ),
}
"""Each phrase in English and in Chinese; both have the same blanks."""

METERS_ZH = PERIOD_METERS_ZH | {
    "input_tokens": "输入",
    "cached_input_tokens": "缓存输入",
    "cache_write_tokens": "缓存写入",
    "cache_write_5m_tokens": "缓存写入（5 分钟）",
    "cache_write_1h_tokens": "缓存写入（1 小时）",
    "output_tokens": "输出",
    "reasoning_tokens": "推理",
    "images": "图像",
    "audio_seconds": "音频（秒）",
    "requests": "请求",
    "cache_hits": "应答缓存命中",
    "tool_calls": "工具调用",
    "compute_ms": "计算（毫秒）",
    "ingress_bytes": "入站字节",
    "egress_bytes": "出站字节",
    "byte_hours": "字节·小时",
    "cache_token_hours": "缓存 token·小时",
    "training_tokens": "训练 token",
    "node_hours": "节点·小时",
    "seats": "席位",
    "blocks": "份数",
    "minimum_charge": "最低收费",
    "credit": "抵扣金额",
}

DAYS = (
    ("Monday", "周一"),
    ("Tuesday", "周二"),
    ("Wednesday", "周三"),
    ("Thursday", "周四"),
    ("Friday", "周五"),
    ("Saturday", "周六"),
    ("Sunday", "周日"),
)


def say(language: Language, phrase: str, **facts: object) -> str:
    """A phrase in a language, its blanks filled in."""
    return PHRASES[phrase][_PLACE[language]].format(**facts)


def meter(language: Language, name: str) -> str:
    """What a meter is called in prices: ``cached input``."""
    if language == "zh":
        return METERS_ZH.get(name, name)
    return meters.in_words(name.removesuffix("_tokens")).lower()


def day(language: Language, weekday: int) -> str:
    """A day of the week, from Monday, 0."""
    return DAYS[weekday][_PLACE[language]]
