*** Settings ***
Documentation    清洗电话号码：全角转半角、去掉空格横线和国家代码，识别手机、固话、分机和 400/800 热线，识别不了的单独列出。
...    Brings Chinese phone numbers into one form and lists those that are none.
Library          Collections
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}           sample/customers.csv
${OUTPUT}          output
${PHONE_COLUMN}    电话

*** Tasks ***
Clean Phone Numbers
    @{rows}=    Read Table    ${INPUT}
    VAR    @{clean}
    VAR    @{rejected}
    FOR    ${row}    IN    @{rows}
        ${phone}    ${type}=    Normalise    ${row}[${PHONE_COLUMN}]
        IF    $phone
            Set To Dictionary    ${row}    ${PHONE_COLUMN}    ${phone}
            Set To Dictionary    ${row}    号码类型    ${type}
            Append To List    ${clean}    ${row}
        ELSE
            Set To Dictionary    ${row}    原因    ${type}
            Append To List    ${rejected}    ${row}
        END
    END
    @{columns}=    Get Dictionary Keys    ${rows}[0]    sort_keys=False
    Remove Values From List    ${columns}    号码类型    原因
    @{header}=    Create List    @{columns}    号码类型
    Write Table    ${OUTPUT}/clean.csv    ${header}    ${clean}
    @{header}=    Create List    @{columns}    原因
    Write Table    ${OUTPUT}/rejected.csv    ${header}    ${rejected}
    ${good}=    Get Length    ${clean}
    ${bad}=    Get Length    ${rejected}
    Log    ${good} 个号码已规范，${bad} 个需要人工核对 / ${good} numbers cleaned, ${bad} to be checked by hand.    console=True

*** Keywords ***
Normalise
    [Documentation]    The number in its usual form and its type; or nothing and the reason.
    [Arguments]    ${raw}
    ${text}=    Half Width    ${raw}
    @{extension}=    Get Regexp Matches    ${text}    (?i)(?:转|分机|ext\\.?|x|#)\\s*(\\d{1,6})$    1
    ${text}=    Replace String Using Regexp    ${text}    (?i)(?:转|分机|ext\\.?|x|#)\\s*\\d{1,6}$    ${EMPTY}
    ${digits}=    Replace String Using Regexp    ${text}    [^0-9]    ${EMPTY}
    ${digits}=    Replace String Using Regexp    ${digits}    ^(?:00)?86(1[3-9]\\d{9})$    \\1
    ${digits}=    Replace String Using Regexp    ${digits}    ^(?:00)?86(10\\d{8}|2\\d{9}|[3-9]\\d{9,10})$    0\\1
    ${known}=    Get Regexp Matches    ${digits}    ^1[3-9]\\d{9}$
    IF    $known    RETURN    ${digits}    手机
    ${known}=    Get Regexp Matches    ${digits}    ^(?:400|800)\\d{7}$
    IF    $known
        ${phone}=    Replace String Using Regexp    ${digits}    ^(\\d{3})(\\d{3})(\\d{4})$    \\1-\\2-\\3
        RETURN    ${phone}    热线
    END
    ${known}=    Get Regexp Matches    ${digits}    ^(?:010|02\\d|0[3-9]\\d{2})\\d{7,8}$
    IF    $known
        ${phone}=    Replace String Using Regexp    ${digits}    ^(010|02\\d|0[3-9]\\d{2})(\\d{7,8})$    \\1-\\2
        IF    $extension    RETURN    ${phone}转${extension}[0]    固话
        RETURN    ${phone}    固话
    END
    IF    $text    RETURN    ${EMPTY}    不是有效的手机、固话或热线号码
    RETURN    ${EMPTY}    号码为空

Half Width
    [Documentation]    １３８ as 138, and the full-width plus, dash and brackets as plain ones.
    [Arguments]    ${text}
    @{wide}=    Create List    ０    １    ２    ３    ４    ５    ６    ７    ８    ９    ＋    －    （    ）
    @{plain}=    Create List    0    1    2    3    4    5    6    7    8    9    +    -    (    )
    FOR    ${from}    ${to}    IN ZIP    ${wide}    ${plain}
        ${text}=    Replace String    ${text}    ${from}    ${to}
    END
    ${text}=    Strip String    ${text}
    RETURN    ${text}

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
