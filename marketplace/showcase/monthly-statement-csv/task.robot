*** Settings ***
Documentation    月度对账单：按客户列出期初余额、当月每笔应收与收款、逐笔余额和期末余额。不填月份时做上个月的。
...    A month's statement for every customer: opening balance, each movement, running and closing balance.
Library          Collections
Library          DateTime
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}     sample/movements.csv
${OUTPUT}    output
${MONTH}     ${EMPTY}

*** Tasks ***
Make Monthly Statement
    ${month}=    Month Or Last Month    ${MONTH}
    ${groups}=    Movements By Customer
    VAR    @{statement}
    VAR    @{summary}
    FOR    ${customer}    ${movements}    IN    &{groups}
        ${lines}    ${totals}=    Statement Of    ${customer}    ${movements}    ${month}
        Append To List    ${statement}    @{lines}
        Append To List    ${summary}    ${totals}
    END
    @{header}=    Create List    客户    日期    单据号    摘要    应收    收款    余额
    Write Table    ${OUTPUT}/statement.csv    ${header}    ${statement}
    @{header}=    Create List    客户    期初余额    本月应收    本月收款    期末余额
    Write Table    ${OUTPUT}/summary.csv    ${header}    ${summary}
    ${count}=    Get Length    ${summary}
    Log    ${month}：${count} 家客户的对账单已生成 / statements of ${count} customers made.    console=True

*** Keywords ***
Month Or Last Month
    [Arguments]    ${month}
    IF    $month    RETURN    ${month}
    ${first}=    Get Current Date    result_format=%Y-%m-01
    ${month}=    Subtract Time From Date    ${first}    1 day    result_format=%Y-%m
    RETURN    ${month}

Movements By Customer
    [Documentation]    Each customer's movements, sorted by day and document number.
    @{movements}=    Read Table    ${INPUT}
    VAR    &{sorted}
    FOR    ${movement}    IN    @{movements}
        Set To Dictionary    ${sorted}    ${movement}[客户]|${movement}[日期]|${movement}[单据号]    ${movement}
    END
    @{keys}=    Get Dictionary Keys    ${sorted}
    VAR    &{groups}
    FOR    ${key}    IN    @{keys}
        VAR    ${movement}    ${sorted}[${key}]
        ${group}=    Get From Dictionary    ${groups}    ${movement}[客户]    default=${None}
        IF    $group
            Append To List    ${group}    ${movement}
        ELSE
            @{group}=    Create List    ${movement}
            Set To Dictionary    ${groups}    ${movement}[客户]    ${group}
        END
    END
    RETURN    ${groups}

Statement Of
    [Documentation]    The lines of one customer's statement, and its line in the summary.
    [Arguments]    ${customer}    ${movements}    ${month}
    ${this_month}=    Remove String    ${month}    -
    VAR    ${opening}    ${0}
    VAR    ${balance}    ${0}
    VAR    ${owed}    ${0}
    VAR    ${paid}    ${0}
    VAR    @{lines}
    FOR    ${movement}    IN    @{movements}
        ${its_month}=    Replace String Using Regexp    ${movement}[日期]    ^(\\d{4})-(\\d{2})-\\d{2}$    \\1\\2
        ${later}=    Is Less    ${this_month}    ${its_month}
        IF    $later    CONTINUE
        ${receivable}=    To Fen    ${movement}[应收]
        ${received}=    To Fen    ${movement}[收款]
        ${balance}=    Add    ${balance}    ${receivable}
        ${balance}=    Subtract    ${balance}    ${received}
        ${earlier}=    Is Less    ${its_month}    ${this_month}
        IF    $earlier
            VAR    ${opening}    ${balance}
            CONTINUE
        END
        ${owed}=    Add    ${owed}    ${receivable}
        ${paid}=    Add    ${paid}    ${received}
        ${line}=    Copy Dictionary    ${movement}
        ${yuan}=    To Yuan    ${balance}
        Set To Dictionary    ${line}    余额    ${yuan}
        Append To List    ${lines}    ${line}
    END
    ${opening}=    To Yuan    ${opening}
    ${owed}=    To Yuan    ${owed}
    ${paid}=    To Yuan    ${paid}
    ${balance}=    To Yuan    ${balance}
    VAR    &{first}    客户=${customer}    日期=${month}-01    摘要=期初余额    余额=${opening}
    VAR    &{last}    客户=${customer}    摘要=期末余额    应收=${owed}    收款=${paid}    余额=${balance}
    VAR    &{totals}    客户=${customer}    期初余额=${opening}    本月应收=${owed}    本月收款=${paid}    期末余额=${balance}
    @{lines}=    Create List    ${first}    @{lines}    ${last}
    RETURN    ${lines}    ${totals}

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
