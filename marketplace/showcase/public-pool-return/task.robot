*** Settings ***
Documentation    公海回收清单：找出超期未跟进的客户，重点客户用更长的期限，已成交的不回收；快到期的先提醒负责人。
...    Lists customers to be returned to the public pool, and warns the owners of those that will be next.
Library          Collections
Library          DateTime
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}            sample/customers.csv
${OUTPUT}           output
${AS_OF}            ${EMPTY}
${IDLE_DAYS}        30
${KEY_IDLE_DAYS}    60
${WARN_DAYS}        7

*** Tasks ***
List Returns To The Public Pool
    ${as_of}=    Day Or Today    ${AS_OF}
    @{customers}=    Read Table    ${INPUT}
    VAR    @{returns}
    VAR    @{warnings}
    FOR    ${customer}    IN    @{customers}
        ${won}=    Get Regexp Matches    ${customer}[状态]    ^已成交
        IF    $won    CONTINUE
        ${idle}=    Days Between    ${customer}[最后跟进]    ${as_of}
        ${limit}=    Limit For    ${customer}
        ${left}=    Subtract    ${limit}    ${idle}
        Set To Dictionary    ${customer}    未跟进天数    ${idle}    期限    ${limit}    剩余天数    ${left}
        ${is_over}=    Is Less    ${left}    0
        ${is_near}=    Is Less    ${left}    ${WARN_DAYS}
        IF    $is_over
            Append To List    ${returns}    ${customer}
        ELSE IF    $is_near
            Append To List    ${warnings}    ${customer}
        END
    END
    @{header}=    Create List    客户编号    客户名称    等级    负责人    最后跟进    未跟进天数    期限
    Write Table    ${OUTPUT}/return.csv    ${header}    ${returns}
    @{header}=    Create List    负责人    客户编号    客户名称    等级    最后跟进    剩余天数
    Write Table    ${OUTPUT}/warn.csv    ${header}    ${warnings}
    ${over}=    Get Length    ${returns}
    ${near}=    Get Length    ${warnings}
    Log    ${over} 个客户退回公海，${near} 个即将到期 / ${over} customers to return, ${near} to warn about.    console=True

*** Keywords ***
Limit For
    [Documentation]    How many days without a follow-up the customer's grade allows.
    [Arguments]    ${customer}
    ${is_key}=    Get Regexp Matches    ${customer}[等级]    ^A
    IF    $is_key    RETURN    ${KEY_IDLE_DAYS}
    RETURN    ${IDLE_DAYS}

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
