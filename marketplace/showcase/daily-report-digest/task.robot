*** Settings ***
Documentation    销售日报汇总：按人统计当天的电话、拜访、微信和邮件，摘出每条结果和下一步，列出没交日报的人。
...    Digests the day's activities of the sales team: counts by person and kind, results, next steps, and who has reported nothing.
Library          Collections
Library          DateTime
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}     sample/activities.csv
${OUTPUT}    output
${DAY}       ${EMPTY}
${TEAM}      王芳;李强;赵敏

*** Tasks ***
Make Daily Digest
    ${day}=    Day Or Today    ${DAY}
    @{team}=    Split String    ${TEAM}    ;
    @{activities}=    Activities Of    ${day}
    ${total}=    Get Length    ${activities}
    @{lines}=    Create List    \# ${day} 销售日报    ${EMPTY}    团队共记录 ${total} 次跟进。    ${EMPTY}
    ...    | 销售 | 电话 | 拜访 | 微信 | 邮件 | 合计 |    | --- | ---: | ---: | ---: | ---: | ---: |
    VAR    @{silent}
    FOR    ${person}    IN    @{team}
        ${line}    ${count}=    Table Line    ${person}    ${activities}
        Append To List    ${lines}    ${line}
        ${none}=    Get Regexp Matches    ${count}    ^0$
        IF    $none    Append To List    ${silent}    ${person}
    END
    FOR    ${person}    IN    @{team}
        @{section}=    Section Of    ${person}    ${activities}
        Append To List    ${lines}    @{section}
    END
    IF    $silent
        ${names}=    Catenate    SEPARATOR=、    @{silent}
        Append To List    ${lines}    ${EMPTY}    \#\# 尚未提交    ${EMPTY}    ${names}
    END
    ${text}=    Catenate    SEPARATOR=\n    @{lines}
    Create File    ${OUTPUT}/digest.md    ${text}\n    encoding=UTF-8
    Log    ${day} 共 ${total} 次跟进 / ${total} activities on ${day}.    console=True

*** Keywords ***
Activities Of
    [Documentation]    The rows of that day, in the order of time.
    [Arguments]    ${day}
    @{rows}=    Read Table    ${INPUT}
    VAR    &{by_time}
    FOR    ${number}    ${row}    IN ENUMERATE    @{rows}    start=100000
        ${today}=    Get Regexp Matches    ${row}[时间]    ^${day}\\b
        IF    $today    Set To Dictionary    ${by_time}    ${row}[时间]|${number}    ${row}
    END
    @{activities}=    Get Dictionary Values    ${by_time}
    RETURN    ${activities}

Table Line
    [Arguments]    ${person}    ${activities}
    VAR    @{kinds}
    ${name}=    Regexp Escape    ${person}
    FOR    ${activity}    IN    @{activities}
        ${mine}=    Get Regexp Matches    ${activity}[销售]    ^${name}$
        IF    $mine    Append To List    ${kinds}    ${activity}[类型]
    END
    VAR    @{cells}
    FOR    ${kind}    IN    电话    拜访    微信    邮件
        ${count}=    Count Values In List    ${kinds}    ${kind}
        Append To List    ${cells}    ${count}
    END
    ${total}=    Get Length    ${kinds}
    ${total}=    Convert To String    ${total}
    ${line}=    Catenate    SEPARATOR=${SPACE}|${SPACE}    | ${person}    @{cells}    ${total} |
    RETURN    ${line}    ${total}

Section Of
    [Documentation]    What one person did and will do next; nothing for a person without activities.
    [Arguments]    ${person}    ${activities}
    VAR    @{section}
    ${name}=    Regexp Escape    ${person}
    FOR    ${activity}    IN    @{activities}
        ${mine}=    Get Regexp Matches    ${activity}[销售]    ^${name}$
        IF    $mine
            ${text}=    Catenate    SEPARATOR=    - ${activity}[类型] **${activity}[客户]**：${activity}[结果]
            VAR    ${next}    ${activity}[下一步]
            IF    $next
                ${text}=    Catenate    SEPARATOR=    ${text}；下一步（${activity}[下一步日期]）：${next}
            END
            Append To List    ${section}    ${text}
        END
    END
    IF    $section
        @{section}=    Create List    ${EMPTY}    \#\# ${person}    ${EMPTY}    @{section}
    END
    RETURN    ${section}

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
