*** Settings ***
Documentation    订单按大区拆分：按省份归入华北、东北、华东、华中、华南、西南、西北，各存一个文件，并汇总单数和金额。
...    Splits an order export into one file for each sales region, with a summary of orders and amounts.
Library          Collections
Library          DateTime
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}     sample/orders.csv
${OUTPUT}    output

*** Tasks ***
Split Orders By Region
    @{orders}=    Read Table    ${INPUT}
    @{header}=    Get Dictionary Keys    ${orders}[0]    sort_keys=False
    VAR    @{rest}    @{orders}
    VAR    @{summary}
    FOR    ${file}    ${region}    ${provinces}    IN
    ...    north    华北    ^(北京|天津|河北|山西|内蒙古)
    ...    northeast    东北    ^(辽宁|吉林|黑龙江)
    ...    east    华东    ^(上海|江苏|浙江|安徽|福建|江西|山东)
    ...    central    华中    ^(河南|湖北|湖南)
    ...    south    华南    ^(广东|广西|海南)
    ...    southwest    西南    ^(重庆|四川|贵州|云南|西藏)
    ...    northwest    西北    ^(陕西|甘肃|青海|宁夏|新疆)
    ...    unknown    待确认    .*
        ${mine}    ${rest}=    Divide    ${rest}    ${provinces}
        IF    $mine
            Write Table    ${OUTPUT}/orders-${file}.csv    ${header}    ${mine}
            ${line}=    Summary Line    ${region}    ${mine}
            Append To List    ${summary}    ${line}
        END
    END
    ${line}=    Summary Line    合计    ${orders}
    Append To List    ${summary}    ${line}
    @{header}=    Create List    大区    订单数    金额
    Write Table    ${OUTPUT}/summary.csv    ${header}    ${summary}
    Log    ${line}[订单数] 张订单，共 ${line}[金额] 元 / ${line}[订单数] orders, ${line}[金额] yuan in all.    console=True

*** Keywords ***
Divide
    [Documentation]    The orders whose province fits the pattern, and the others.
    [Arguments]    ${orders}    ${pattern}
    VAR    @{fitting}
    VAR    @{others}
    FOR    ${order}    IN    @{orders}
        ${fits}=    Get Regexp Matches    ${order}[省份]    ${pattern}
        IF    $fits
            Append To List    ${fitting}    ${order}
        ELSE
            Append To List    ${others}    ${order}
        END
    END
    RETURN    ${fitting}    ${others}

Summary Line
    [Arguments]    ${region}    ${orders}
    VAR    ${total}    ${0}
    FOR    ${order}    IN    @{orders}
        ${amount}=    To Fen    ${order}[金额]
        ${total}=    Add    ${total}    ${amount}
    END
    ${count}=    Get Length    ${orders}
    ${total}=    To Yuan    ${total}
    VAR    &{line}    大区=${region}    订单数=${count}    金额=${total}
    RETURN    ${line}

Add
    [Documentation]    Whole numbers. DateTime adds plain numbers as seconds, which is exact for any amount of money.
    [Arguments]    ${left}    ${right}
    ${sum}=    Add Time To Time    ${left}    ${right}
    ${sum}=    Convert To Integer    ${sum}
    RETURN    ${sum}

To Fen
    [Documentation]    "1,280.5" yuan as 128050 fen. An empty cell is nothing; anything else stops the run.
    [Arguments]    ${yuan}
    ${yuan}=    Replace String Using Regexp    ${yuan}    [,，¥￥\\s]    ${EMPTY}
    IF    $yuan
        Should Match Regexp    ${yuan}    ^-?\\d+(\\.\\d{1,2})?$    不是金额 / not an amount: ${yuan}    values=False
        ${yuan}=    Replace String Using Regexp    ${yuan}    ^(-?\\d+)$    \\1.00
        ${yuan}=    Replace String Using Regexp    ${yuan}    ^(-?\\d+\\.\\d)$    \\g<1>0
        ${digits}=    Remove String    ${yuan}    .
        ${fen}=    Convert To Integer    ${digits}
    ELSE
        ${fen}=    Convert To Integer    0
    END
    RETURN    ${fen}

To Yuan
    [Documentation]    128050 fen as "1280.50".
    [Arguments]    ${fen}
    ${digits}=    Convert To String    ${fen}
    ${digits}=    Replace String Using Regexp    ${digits}    ^(-?)(\\d)$    \\g<1>00\\2
    ${digits}=    Replace String Using Regexp    ${digits}    ^(-?)(\\d\\d)$    \\g<1>0\\2
    ${yuan}=    Replace String Using Regexp    ${digits}    ^(-?\\d+)(\\d\\d)$    \\1.\\2
    RETURN    ${yuan}

Read Table
    [Documentation]    The rows of a CSV file as dictionaries. Quoted cells may hold commas and quotes, but no line breaks.
    [Arguments]    ${path}
    ${text}=    Get File    ${path}    encoding=UTF-8-SIG
    @{lines}=    Split To Lines    ${text}
    Remove Values From List    ${lines}    ${EMPTY}
    @{header}=    Read Cells    ${lines}[0]
    VAR    @{rows}
    FOR    ${line}    IN    @{lines}[1:]
        @{cells}=    Read Cells    ${line}
        VAR    &{row}
        FOR    ${column}    ${cell}    IN ZIP    ${header}    ${cells}    mode=STRICT
            Set To Dictionary    ${row}    ${column}    ${cell}
        END
        Append To List    ${rows}    ${row}
    END
    RETURN    ${rows}

Read Cells
    [Arguments]    ${line}
    ${quoted}=    Get Regexp Matches    ${line}    "
    IF    $quoted
        @{cells}=    Read Quoted Cells    ${line}
    ELSE
        ${line}=    Replace String Using Regexp    ${line}    [ \t]*,[ \t]*    ,
        ${line}=    Strip String    ${line}
        @{cells}=    Split String    ${line}    ,
    END
    RETURN    ${cells}

Read Quoted Cells
    [Arguments]    ${line}
    @{cells}=    Get Regexp Matches    ${line}    (?:^|,)("(?:[^"]|"")*"|[^,]*)    1
    VAR    @{plain}
    FOR    ${cell}    IN    @{cells}
        ${cell}=    Replace String Using Regexp    ${cell}    ^"(.*)"$    \\1
        ${cell}=    Replace String    ${cell}    ""    "
        ${cell}=    Strip String    ${cell}
        Append To List    ${plain}    ${cell}
    END
    RETURN    ${plain}

Write Table
    [Documentation]    Writes a CSV file that Excel opens with Chinese text intact. A cell can't become a formula.
    [Arguments]    ${path}    ${header}    ${rows}
    ${first}=    Catenate    SEPARATOR=,    @{header}
    VAR    @{lines}    ${first}
    FOR    ${row}    IN    @{rows}
        VAR    @{cells}
        FOR    ${column}    IN    @{header}
            ${cell}=    Get From Dictionary    ${row}    ${column}    default=${EMPTY}
            Append To List    ${cells}    ${cell}
        END
        ${line}=    Write Cells    ${cells}
        Append To List    ${lines}    ${line}
    END
    ${text}=    Catenate    SEPARATOR=\n    @{lines}
    Create File    ${path}    ${text}\n    encoding=UTF-8-SIG

Write Cells
    [Documentation]    One line; only cells that need it are quoted or kept from becoming a formula.
    [Arguments]    ${cells}
    ${line}=    Catenate    SEPARATOR=\x1f    @{cells}
    ${special}=    Get Regexp Matches    ${line}    [,"]|(?:^|\x1f)[=@]
    IF    $special
        VAR    @{plain}    @{cells}
        VAR    @{cells}
        FOR    ${cell}    IN    @{plain}
            ${cell}=    Convert To String    ${cell}
            ${cell}=    Replace String Using Regexp    ${cell}    ^([=@])    '\\1
            ${cell}=    Replace String    ${cell}    "    ""
            ${cell}=    Replace String Using Regexp    ${cell}    ^(.*[,"].*)$    "\\1"
            Append To List    ${cells}    ${cell}
        END
        ${line}=    Catenate    SEPARATOR=,    @{cells}
    ELSE
        ${line}=    Replace String    ${line}    \x1f    ,
    END
    RETURN    ${line}
