*** Settings ***
Documentation    逾期发票催收清单：算出未收金额和逾期天数，按天数分为温馨提醒、正式催收、升级处理，并为每张发票写好消息。
...    Lists overdue invoices with days and stage, and writes the message for each.
Library          Collections
Library          DateTime
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}                  sample/invoices.csv
${OUTPUT}                 output
${AS_OF}                  ${EMPTY}
${FORMAL_AFTER_DAYS}      15
${ESCALATE_AFTER_DAYS}    45

*** Tasks ***
List Overdue Invoices
    ${as_of}=    Day Or Today    ${AS_OF}
    @{invoices}=    Read Table    ${INPUT}
    VAR    &{overdue}
    FOR    ${invoice}    IN    @{invoices}
        ${amount}=    To Fen    ${invoice}[金额]
        ${received}=    To Fen    ${invoice}[已收]
        ${open}=    Subtract    ${amount}    ${received}
        ${days}=    Days Between    ${invoice}[到期日]    ${as_of}
        ${is_open}=    Is Less    0    ${open}
        ${is_late}=    Is Less    0    ${days}
        IF    $is_open
            IF    $is_late
                ${yuan}=    To Yuan    ${open}
                ${stage}=    Stage    ${days}
                Set To Dictionary    ${invoice}    未收金额    ${yuan}    逾期天数    ${days}    阶段    ${stage}    未收分    ${open}
                Set To Dictionary    ${overdue}    ${invoice}[到期日]|${invoice}[发票号]    ${invoice}
            END
        END
    END
    @{longest_first}=    Get Dictionary Values    ${overdue}
    @{header}=    Create List    发票号    客户    联系人    手机    到期日    未收金额    逾期天数    阶段
    Write Table    ${OUTPUT}/overdue.csv    ${header}    ${longest_first}
    Write Messages    ${longest_first}
    VAR    ${total}    ${0}
    FOR    ${invoice}    IN    @{longest_first}
        ${total}=    Add    ${total}    ${invoice}[未收分]
    END
    ${total}=    To Yuan    ${total}
    ${count}=    Get Length    ${longest_first}
    Log    ${count} 张发票逾期，未收 ${total} 元 / ${count} invoices overdue, ${total} yuan open.    console=True

*** Keywords ***
Stage
    [Arguments]    ${days}
    ${escalate}=    Is Less    ${ESCALATE_AFTER_DAYS}    ${days}
    IF    $escalate    RETURN    升级处理
    ${formal}=    Is Less    ${FORMAL_AFTER_DAYS}    ${days}
    IF    $formal    RETURN    正式催收
    RETURN    温馨提醒

Write Messages
    [Arguments]    ${invoices}
    VAR    &{texts}
    ...    温馨提醒=如已安排付款，请忽略本消息；如需补开资料，请随时告诉我们。
    ...    正式催收=请您在三个工作日内安排付款，或回复预计的付款日期。
    ...    升级处理=请您今天与我们确认付款安排，逾期较久的款项将由客户经理与贵司负责人直接沟通。
    VAR    @{messages}
    FOR    ${invoice}    IN    @{invoices}
        VAR    ${stage}    ${invoice}[阶段]
        ${message}=    Catenate    SEPARATOR=
        ...    【${stage}】致 ${invoice}[客户] ${invoice}[联系人]（${invoice}[手机]）\n
        ...    您好！发票 ${invoice}[发票号] 已于 ${invoice}[到期日] 到期，尚有 ¥${invoice}[未收金额] 未付，已逾期 ${invoice}[逾期天数] 天。
        ...    ${texts}[${stage}]\n
        Append To List    ${messages}    ${message}
    END
    ${text}=    Catenate    SEPARATOR=\n    @{messages}
    Create File    ${OUTPUT}/messages.txt    ${text}    encoding=UTF-8

Add
    [Documentation]    Whole numbers. DateTime adds plain numbers as seconds, which is exact for any amount of money.
    [Arguments]    ${left}    ${right}
    ${sum}=    Add Time To Time    ${left}    ${right}
    ${sum}=    Convert To Integer    ${sum}
    RETURN    ${sum}

Subtract
    [Arguments]    ${left}    ${right}
    ${difference}=    Subtract Time From Time    ${left}    ${right}
    ${difference}=    Convert To Integer    ${difference}
    RETURN    ${difference}

Is Less
    [Documentation]    True when the number on the left is smaller: their difference then starts with a minus.
    [Arguments]    ${left}    ${right}
    ${difference}=    Subtract Time From Time    ${left}    ${right}
    ${difference}=    Convert To String    ${difference}
    ${minus}=    Get Regexp Matches    ${difference}    ^-
    RETURN    ${minus}

Days Between
    [Documentation]    Whole days from the first date to the second; negative when the second comes first.
    [Arguments]    ${from}    ${to}
    ${from}=    Convert Date    ${from}    result_format=%Y-%m-%d
    ${to}=    Convert Date    ${to}    result_format=%Y-%m-%d
    ${time}=    Subtract Date From Date    ${to}    ${from}    result_format=compact
    ${days}=    Get Regexp Matches    ${time}    ^(?:- )?\\d+(?=d)
    IF    $days
        ${number}=    Remove String    ${days}[0]    ${SPACE}
    ELSE
        VAR    ${number}    0
    END
    ${number}=    Convert To Integer    ${number}
    RETURN    ${number}

Day Or Today
    [Documentation]    The given day, or today when it is empty.
    [Arguments]    ${day}
    IF    $day    RETURN    ${day}
    ${today}=    Get Current Date    result_format=%Y-%m-%d
    RETURN    ${today}

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
