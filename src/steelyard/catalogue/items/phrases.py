"""Phrases of items: what is charged by period and by event, in English and Chinese."""

from __future__ import annotations

ITEM_PHRASES: dict[str, tuple[str, str]] = {
    "of_version": (
        "It is charged by contract {contract}, the version from {day}.",
        "依据合同 {contract} 自 {day} 起生效的版本收取。",
    ),
    "happened": (
        "{when}: {what}{name}{counted} ({id}).",
        "{when}：{what}{name}{counted}（{id}）。",
    ),
    "counted_in": (", {what} {units}", "，{what} {units}"),
    "what_begun": ("begun", "开始"),
    "what_ended": ("ended", "结束"),
    "what_changed": ("changed", "变更"),
    "what_accepted": ("accepted", "验收"),
    "what_released": ("released", "释放"),
    "what_reported": ("reported", "上报"),
    "what_measured": ("measured", "测量"),
    "was_due": (
        "{amount} {currency} was due on {day}, and is booked in {period}.",
        "{day} 应收 {amount} {currency}，计入 {period}。",
    ),
    "deposited": ("Deposit", "预收"),
    "item": ("{title} ({id}): {text}", "{title}（{id}）：{text}"),
    "untitled": ("{id}: {text}", "{id}：{text}"),
    "no_calls": ("Calls have no price under it.", "本合同不对调用计价。"),
    "months_1": ("month", "月"),
    "months_3": ("quarter", "季度"),
    "months_12": ("year", "年"),
    "fee": ("{amounts} {currency} a {term}{each}.", "每{term}{each} {amounts} {currency}。"),
    "fee_plan": ("{plan} {amount}", "{plan} {amount}"),
    "fee_each": (" for each of {count} {counted} at first", "每{counted}（初始 {count}）"),
    "counted_seats": ("seats", "席位"),
    "counted_instances": ("instances", "实例"),
    "counted_node_months": ("nodes", "节点"),
    "fee_since": ("It begins on {day}.", "自 {day} 起。"),
    "fee_begun": ("It begins when that is recorded.", "以登记的开始时间为准。"),
    "fee_until": ("No term begins from {day} on.", "自 {day} 起不再续期。"),
    "fee_trial": ("Its first {days} days are free.", "前 {days} 天免费试用。"),
    "fee_day": (
        "A term begins on the day of the month on which the first did.",
        "每期自首期开始日的同一日起算。",
    ),
    "fee_calendar": (
        "Terms are those of the calendar; of the first its days are paid.",
        "按自然月份计期，首期按天计费。",
    ),
    "fee_start": ("It is paid when a term begins.", "每期期初收取。"),
    "fee_end": ("It is paid when a term ends.", "每期期末收取。"),
    "fee_days": (
        "What is added within a term is paid at once, for the days that are left of it.",
        "期中增加的部分按剩余天数立即收取。",
    ),
    "fee_thirtieths": (
        "What is added within a term is paid at once, for the days that are left, a month as 30.",
        "期中增加的部分按剩余天数（每月按 30 天）立即收取。",
    ),
    "fee_none": (
        "What changes within a term holds from the next one on.",
        "期中变更自下一期起生效。",
    ),
    "fee_refund": (
        "For what is given up, the days that are left are given back.",
        "期中减少的部分按剩余天数退还。",
    ),
    "fee_kept": (
        "What is given up is paid until the term ends.",
        "期中减少的部分付费至本期结束，不退还。",
    ),
    "fee_spread": ("It is earned month by month.", "收入按月确认。"),
    "commitment": (
        (
            "At least {currency} {amounts} are used each {term}, counting {counts}; what is short "
            "of it is charged when the {term} ends."
        ),
        "每{term}最低消费 {currency}：{amounts}（计入：{counts}），不足部分于{term}末补收。",
    ),
    "phase": ("{amount} from {day} on", "自 {day} 起 {amount}"),
    "everything": ("all charges", "全部费用"),
    "only_counts": ("charges of {patterns}", "{patterns} 的费用"),
    "all_calls": ("all calls", "所有调用"),
    "only_calls": ("calls of {patterns}", "{patterns} 的调用"),
    "savings": (
        (
            "{amount} {currency} are paid {when}; {counts} draw on it for {months} months, and "
            "none before. What is left then is {rest}."
        ),
        (
            "{when}预付 {amount} {currency}，供{counts}抵扣 {months} 个月，"
            "不追溯此前的调用；到期余额{rest}。"
        ),
    ),
    "savings_since": ("on {day}", "{day} "),
    "savings_bought": ("each time that it is bought", "每次购买时"),
    "rest_kept": ("kept", "不退"),
    "rest_returned": ("given back", "退还"),
    "throughput": (
        (
            "{model} by tokens a minute and {per}: {input} {currency} for 10,000 of input, "
            "{output} for 1,000 of output."
        ),
        (
            "{model} 预置吞吐，按{per}计价：每万 TPM 输入 {input} {currency}，"
            "每千 TPM 输出 {output}。"
        ),
    ),
    "per_hour": ("hour", "小时"),
    "per_day": ("day", "天"),
    "per_month": ("month", "月"),
    "throughput_hour": (
        "It is paid afterwards, and an hour that has begun is a whole one.",
        "后付费，不足一小时按一小时计。",
    ),
    "throughput_day": (
        (
            "Days are paid when they are ordered and end at midnight; what is ordered from "
            "{late}:00 on has a day more."
        ),
        "预付费，至零点到期；{late}:00 后下单的到期日顺延一天。",
    ),
    "throughput_end": (
        "It is served for up to {stops} hours after its end, and kept for {keeps}.",
        "到期后 {stops} 小时内停止服务，资源保留 {keeps} 小时。",
    ),
    "dedicated": (
        "{price} {currency} a {unit} and {per}, from when it stands, used or not.",
        "每{unit}每{per} {price} {currency}，自部署就绪起计费，无论是否使用。",
    ),
    "unit": ("model unit", "模型单元"),
    "node": ("node", "节点"),
    "dedicated_hour": ("An hour that has begun is a whole one.", "不足一小时按一小时计。"),
    "dedicated_month": ("A month is paid when it begins.", "每月期初收取。"),
    "dedicated_early": (
        "Given back in its first month, the days used are rated again at {factor} times.",
        "首月内退订的，已用天数按 {factor} 倍重新计价。",
    ),
    "project": (
        "{milestones}; each is charged when it is accepted, in {currency}.",
        "{milestones}；以 {currency} 计，各里程碑验收时收取。",
    ),
    "milestone": ("{title} {amount}", "{title} {amount}"),
    "project_advance": (
        "{percent} % of it all is paid when it begins, and taken off each milestone again.",
        "启动时预付总额的 {percent}%，并在各里程碑中冲抵。",
    ),
    "project_retention": (
        "{percent} % of what is accepted is kept back until it is released.",
        "验收金额的 {percent}% 作为质保金留存，到期释放。",
    ),
    "project_retention_days": (
        "{percent} % of what is accepted is kept back for {days} days, unless released before.",
        "验收金额的 {percent}% 作为质保金留存 {days} 天，可提前释放。",
    ),
    "project_work": ("A {unit} of work costs {price}.", "每{unit} {price}。"),
    "person_day": ("person-day", "人天"),
    "person_hour": ("person-hour", "人时"),
    "project_budget": (
        "{amount} is paid ahead, on which {counts} draw; what is left goes back at its end.",
        "预付 {amount} 作为调用预算，供{counts}抵扣；结束时余额退还。",
    ),
    "licence_share": (
        "{percent} % of the revenue that is reported.",
        "按申报收入的 {percent}% 收取。",
    ),
    "licence_least": ("Each report costs at least {amount}.", "每次申报最低收取 {amount}。"),
    "reported": ("what is reported costs {prices}.", "按上报用量计价：{prices}。"),
    "priced_per": ("{meter} {price} for {per}", "{meter}每 {per} {price}"),
    "kept": (
        "What is kept counts by bytes and hours; an hour that has begun is a whole one.",
        "存储按字节·小时计，不足一小时按一小时计。",
    ),
    "trained": (
        "Tokens trained are (training + mixed-in) × epochs.",
        "训练 token =（训练 + 混入）× 轮数。",
    ),
    "bundle": (
        "{percent} of {of} goes to {parts}{by}; what is left over is {rest}.",
        "{of} 的{percent}分给 {parts}{by}；余数归{rest}。",
    ),
    "whole_of": ("All", "全部"),
    "percent": ("{percent} %", "{percent}%"),
    "by_fixed": (", by fixed parts", "，按固定比例"),
    "by_list": (", by their list prices", "，按目录价比例"),
    "by_use": (", by {meter} of the month's calls", "，按当月调用的{meter}"),
    "tokens": ("tokens", "token 用量"),
    "rest_operator": ("the operator's", "运营方"),
    "rest_party": ("{party}'s", "{party}"),
    "part_fixed": ("{earner} ({percent} %)", "{earner}（{percent}%）"),
    "part_list": ("{earner} ({amount})", "{earner}（{amount}）"),
    "part_use": ("{earner} ({patterns})", "{earner}（{patterns}）"),
    "service_level": (
        (
            "{measure}: of what {counts} cost in the month is given back {steps}; the last "
            "measure that is reported of a month holds."
        ),
        "{measure}：{steps}（基数为当月{counts}）；以当月最后一次上报的测量值为准。",
    ),
    "availability": ("Availability", "可用性"),
    "ttft": ("Time to first token, {percentile}th percentile", "首 token 时延（P{percentile}）"),
    "token_time": ("Time per token, {percentile}th percentile", "单 token 时延（P{percentile}）"),
    "step_below": ("{credit} % when below {beyond} %", "低于 {beyond}% 返还 {credit}%"),
    "step_above": ("{credit} % when above {beyond} ms", "高于 {beyond} 毫秒返还 {credit}%"),
}
"""Each phrase in English and in Chinese; both have the same blanks."""

PERIOD_METERS_ZH = {
    "fees": "费用",
    "instances": "实例",
    "years": "年",
    "node_months": "节点·月",
    "unit_hours": "模型单元·小时",
    "unit_months": "模型单元·月",
    "unit_days": "模型单元·天",
    "input_tpm_hours": "输入 TPM·小时",
    "output_tpm_hours": "输出 TPM·小时",
    "input_tpm_days": "输入 TPM·天",
    "output_tpm_days": "输出 TPM·天",
    "compute_hours": "计算小时",
    "person_days": "人天",
    "person_hours": "人时",
    "milestones": "里程碑",
    "change_orders": "变更单",
    "revenue": "收入",
    "shortfalls": "最低消费补差",
    "breakage": "到期余额",
    "service_credits": "服务赔付",
    "deposits": "预收与留存",
}
