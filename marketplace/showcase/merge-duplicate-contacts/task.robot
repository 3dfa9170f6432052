*** Settings ***
Documentation    合并重复联系人：手机号相同（没有手机号时按邮箱）视为同一人，保留最早的编号，各字段取最近更新且非空的值。
...    Merges contacts that share a mobile number (or, without one, a mail address).
Library          Collections
Library          DateTime
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}     sample/contacts.csv
${OUTPUT}    output

*** Tasks ***
Merge Duplicate Contacts
    @{contacts}=    Read Table    ${INPUT}
    VAR    &{kept}
    VAR    @{merged}
    FOR    ${contact}    IN    @{contacts}
        ${key}    ${reason}=    Identity    ${contact}
        ${known}=    Get From Dictionary    ${kept}    ${key}    default=${None}
        IF    $known
            ${person}=    Merge    ${known}    ${contact}
            VAR    &{entry}    保留编号=${known}[编号]    并入编号=${contact}[编号]    姓名=${person}[姓名]    依据=${reason}
            Append To List    ${merged}    ${entry}
        ELSE
            VAR    ${person}    ${contact}
        END
        Set To Dictionary    ${kept}    ${key}    ${person}
    END
    @{people}=    Get Dictionary Values    ${kept}    sort_keys=False
    @{header}=    Get Dictionary Keys    ${contacts}[0]    sort_keys=False
    Write Table    ${OUTPUT}/contacts.csv    ${header}    ${people}
    @{header}=    Create List    保留编号    并入编号    姓名    依据
    Write Table    ${OUTPUT}/merged.csv    ${header}    ${merged}
    ${before}=    Get Length    ${contacts}
    ${after}=    Get Length    ${people}
    Log    ${before} 位联系人合并为 ${after} 位 / ${before} contacts became ${after}.    console=True

*** Keywords ***
Identity
    [Documentation]    What makes two rows the same person, and the word for it. A mobile number is brought into one form on the way.
    [Arguments]    ${contact}
    ${digits}=    Replace String Using Regexp    ${contact}[手机]    \\D    ${EMPTY}
    ${mobile}=    Get Regexp Matches    ${digits}    ^(?:00)?(?:86)?(1[3-9]\\d{9})$    1
    IF    $mobile
        Set To Dictionary    ${contact}    手机    ${mobile}[0]
        RETURN    ${mobile}[0]    手机号相同
    END
    ${mail}=    Convert To Lower Case    ${contact}[邮箱]
    IF    $mail    RETURN    ${mail}    邮箱相同
    RETURN    ${contact}[编号]    无

Merge
    [Documentation]    The newer row's cells, where it has any; the number of the row that was there first.
    [Arguments]    ${first}    ${second}
    ${seconds}=    Subtract Date From Date    ${second}[更新时间]    ${first}[更新时间]
    ${seconds}=    Convert To String    ${seconds}
    ${second_is_older}=    Get Regexp Matches    ${seconds}    ^-
    IF    $second_is_older
        ${person}=    Copy Dictionary    ${second}
        VAR    ${newer}    ${first}
    ELSE
        ${person}=    Copy Dictionary    ${first}
        VAR    ${newer}    ${second}
    END
    FOR    ${column}    ${cell}    IN    &{newer}
        IF    $cell    Set To Dictionary    ${person}    ${column}    ${cell}
    END
    Set To Dictionary    ${person}    编号    ${first}[编号]
    RETURN    ${person}

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
