"""Names of companies and people, Chinese and English, drawn from a seed."""

import random
from dataclasses import dataclass

CITIES = [("杭州", "Hangzhou"), ("上海", "Shanghai"), ("深圳", "Shenzhen"), ("成都", "Chengdu"), ("苏州", "Suzhou"), ("武汉", "Wuhan"),
          ("青岛", "Qingdao"), ("厦门", "Xiamen"), ("宁波", "Ningbo"), ("西安", "Xi'an"), ("长沙", "Changsha"), ("合肥", "Hefei")]  # fmt: skip
BRANDS = [("云帆", "Yunfan"), ("恒信", "Hengxin"), ("华泽", "Huaze"), ("启明", "Qiming"), ("瑞禾", "Ruihe"), ("金桥", "Jinqiao"), ("百川", "Baichuan"),
          ("远景", "Yuanjing"), ("青禾", "Qinghe"), ("中诚", "Zhongcheng"), ("盛达", "Shengda"), ("新锐", "Xinrui"), ("天合", "Tianhe"), ("同创", "Tongchuan"),
          ("鼎盛", "Dingsheng"), ("博雅", "Boya"), ("安和", "Anhe"), ("飞鸿", "Feihong"), ("嘉木", "Jiamu"), ("星海", "Xinghai"), ("海棠", "Haitang"),
          ("万象", "Wanxiang"), ("朗润", "Langrun"), ("卓越", "Zhuoyue")]  # fmt: skip
INDUSTRIES = {
    "retail": ("零售", "Retail"), "manufacturing": ("制造", "Manufacturing"), "education": ("教育", "Education"),
    "logistics": ("物流", "Logistics"), "software": ("软件", "Software"), "catering": ("餐饮", "Catering"),
}  # fmt: skip
SURNAMES = [("王", "Wang"), ("李", "Li"), ("张", "Zhang"), ("刘", "Liu"), ("陈", "Chen"), ("杨", "Yang"), ("黄", "Huang"), ("赵", "Zhao"), ("周", "Zhou"),
            ("吴", "Wu"), ("徐", "Xu"), ("孙", "Sun"), ("马", "Ma"), ("朱", "Zhu"), ("胡", "Hu"), ("林", "Lin"), ("郭", "Guo"), ("何", "He")]  # fmt: skip
GIVEN = [("敏", "Min"), ("静", "Jing"), ("伟", "Wei"), ("磊", "Lei"), ("洋", "Yang"), ("艳", "Yan"), ("勇", "Yong"), ("军", "Jun"), ("杰", "Jie"),
         ("娟", "Juan"), ("涛", "Tao"), ("明", "Ming"), ("超", "Chao"), ("霞", "Xia"), ("平", "Ping"), ("晓雯", "Xiaowen"), ("子涵", "Zihan"),
         ("雨桐", "Yutong"), ("浩然", "Haoran"), ("思远", "Siyuan"), ("佳怡", "Jiayi"), ("志强", "Zhiqiang")]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Company:
    """A member to be: names in both languages and what segments it."""

    name: str
    name_en: str
    industry: str
    size: str
    sales_cycle: str
    channel: str
    seats: int


def companies(rng: random.Random, count: int) -> list[Company]:
    """`count` companies with names that differ."""
    made: list[Company] = []
    combinations = [(city, brand) for city in CITIES for brand in BRANDS]
    rng.shuffle(combinations)
    for i in range(count):
        (city, city_en), (brand, brand_en) = combinations[i % len(combinations)]
        serial = i // len(combinations)
        industry = rng.choice(list(INDUSTRIES))
        zh, en = INDUSTRIES[industry]
        size = rng.choices(["small", "medium", "large"], [60, 30, 10])[0]
        seats = {"small": rng.randint(2, 6), "medium": rng.randint(6, 14), "large": rng.randint(14, 30)}[size]
        made.append(
            Company(
                f"{city}{brand}{zh}有限公司" + (f"（{serial + 1}）" if serial else ""),
                f"{brand_en} {en} ({city_en})" + (f" {serial + 1}" if serial else ""),
                industry,
                size,
                rng.choice(["short", "long"]),
                rng.choices(["direct", "agent"], [70, 30])[0],
                seats,
            )
        )
    return made


def person(rng: random.Random) -> tuple[str, str]:
    """A person's name in Chinese, and in Latin letters for an e-mail address."""
    (family, family_en), (given, given_en) = rng.choice(SURNAMES), rng.choice(GIVEN)
    return family + given, f"{given_en}.{family_en}".lower()
